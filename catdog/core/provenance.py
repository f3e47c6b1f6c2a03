"""Where a run comes from: its command, its commit, its environment."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

DIFF = (
    "diff", "--binary", "--no-color", "--no-ext-diff", "--src-prefix=a/", "--dst-prefix=b/",
    "--unified=3", "HEAD"
)  # fmt: skip
"""A patch that ``git apply`` takes, whatever the person's own settings of git."""

ARITHMETIC = ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_", "DNNL_")
"""Environment variables, by prefix, that change the bits of a convolution."""


@dataclass(frozen=True)
class Provenance:
    """What is known about a run before it starts.

    Attributes:
        overrides: The choices that were named, as on the command line.
        resolved: The whole configuration as YAML, or empty without Hydra.
        hydra_dir: Hydra's folder of the job, or empty.
        kind: ``run`` or ``trial``.
        label: Comes before the run's name, such as ``trial 7``.
        tags: Of a trial: its study, its number, its parent run.
    """

    overrides: Sequence[str] = ()
    resolved: str = ""
    hydra_dir: str = ""
    kind: str = "run"
    label: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    command: str = field(init=False)

    def __post_init__(self) -> None:
        words = ["python", "-m", "catdog.train", *self.overrides]
        object.__setattr__(self, "command", shlex.join(words))


@dataclass(frozen=True)
class Commit:
    """State of a working tree; ``sha`` is empty outside of git."""

    sha: str = ""
    dirty: bool = False
    patch: str = ""


def commit(folder: Path) -> Commit:
    """Return the commit of a working tree, and a patch of what is not committed in it."""
    sha = _git(folder, "rev-parse", "HEAD").strip()
    if not sha:
        return Commit()
    dirty = bool(_git(folder, "status", "--porcelain").strip())
    return Commit(sha, dirty, _git(folder, *DIFF) if dirty else "")


def _git(folder: Path, *words: str) -> str:
    # GIT_* of a surrounding hook would name another repository
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    try:
        asked = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, env=clean, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.decode(errors="replace") if asked.returncode == 0 else ""


@functools.cache
def environment() -> str:
    """Return what decides a run's last bits: the machine, and every distribution, one a line."""
    installed = {d.metadata["Name"]: d.version for d in metadata.distributions()}
    lines = [f"{name}=={version}" for name, version in sorted(installed.items(), key=_by_name)]
    python = f"# Python {sys.version.split()[0]}, {platform.platform()}, {os.cpu_count()} cores"
    arithmetic = (f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith(ARITHMETIC))
    return "\n".join([", ".join([python, _processor(), *arithmetic]), *lines, ""])


def threads() -> int:
    """Return how many threads TensorFlow computes with: as many as it is told, or may."""
    told = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return int(told) if told.isdecimal() and int(told) else len(os.sched_getaffinity(0))


def _processor() -> str:
    """Return the processor's name: another one may have other instructions, and other bits."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _by_name(item: tuple[str, str]) -> str:
    return str(item[0]).lower()
