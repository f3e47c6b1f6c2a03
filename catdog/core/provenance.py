"""Where a run comes from: its command, its commit, its environment."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from catdog.core import commands

DIFF = (
    "diff", "--binary", "--no-color", "--no-ext-diff", "--src-prefix=a/", "--dst-prefix=b/",
    "--unified=3", "HEAD"
)  # fmt: skip
"""Arguments of git for a patch that ``git apply`` accepts, whatever the user's git settings."""

ARITHMETIC = ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_", "DNNL_")
"""Prefixes of the environment variables that change a convolution's rounding."""


@dataclass(frozen=True)
class Provenance:
    """What is known about a run before it starts.

    Attributes:
        overrides: The overrides of the command line, such as ``optimizer.lr=0.01``.
        resolved: The whole configuration as YAML; empty without Hydra.
        hydra_dir: Hydra's output folder of the job; empty without Hydra.
        kind: ``run`` or ``trial``.
        label: Name of a trial's run, such as ``t07 lr=0.003``; of another run empty.
        hidden: What stands in the configuration for values of environment variables, by key.
        tags: Further tags of the run; of a trial its study, its number and its parent run.
        command: The command that repeats the run.

    Example:
        >>> Provenance(["optimizer.lr=0.01", "data.path=my photos"]).command
        "python -m catdog.train optimizer.lr=0.01 'data.path=my photos'"
    """

    overrides: Sequence[str] = ()
    resolved: str = ""
    hydra_dir: str = ""
    kind: str = "run"
    label: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    hidden: Mapping[str, str] = field(default_factory=dict)
    command: str = field(init=False)

    def __post_init__(self) -> None:
        command = commands.command("python", "-m", "catdog.train", *self.overrides)
        object.__setattr__(self, "command", command)


@dataclass(frozen=True)
class Commit:
    """State of a git working tree.

    Attributes:
        sha: The commit; empty outside of git.
        dirty: Whether something is not committed.
        patch: What is not committed in tracked files, for ``git apply``.
    """

    sha: str = ""
    dirty: bool = False
    patch: str = ""


def commit(folder: Path) -> Commit:
    """Return the state of the git working tree that a folder is in."""
    sha = _git(folder, "rev-parse", "HEAD").strip()
    if not sha:
        return Commit()
    dirty = bool(_git(folder, "status", "--porcelain").strip())
    return Commit(sha, dirty, _git(folder, *DIFF) if dirty else "")


def _git(folder: Path, *words: str) -> str:
    # GIT_* of a surrounding hook would name another repository
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    try:
        ran = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, env=clean, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.decode(errors="replace") if ran.returncode == 0 else ""


@functools.cache
def environment() -> str:
    """Return what affects a run's last bits.

    The first line is a comment with Python, the platform, the processor and environment variables
    that change arithmetic; the others are all installed distributions as ``name==version``.
    """
    installed = {d.metadata["Name"]: d.version for d in metadata.distributions()}
    lines = [f"{name}=={version}" for name, version in sorted(installed.items(), key=_by_name)]
    python = f"# Python {sys.version.split()[0]}, {platform.platform()}, {os.cpu_count()} cores"
    arithmetic = (f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith(ARITHMETIC))
    return "\n".join([", ".join([python, _processor(), *arithmetic]), *lines, ""])


def threads() -> int:
    """Return the number of threads TensorFlow computes with: as set, else one for each core."""
    limit = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return int(limit) if limit.isdecimal() and int(limit) else len(os.sched_getaffinity(0))


def _processor() -> str:
    """Return the processor's name; another processor's instructions may round differently."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _by_name(item: tuple[str, str]) -> str:
    return str(item[0]).lower()
