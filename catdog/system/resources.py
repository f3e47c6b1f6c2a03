"""What this machine has: cores, memory, disk, and what TensorFlow sees of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from catdog.errors import CatdogError

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""What a container may use of the processors: microseconds, of so many."""

SECONDS = 180
"""How long TensorFlow may take to load on a busy machine."""


def cores() -> float:
    """Return how many cores this process may use; a container may have part of one."""
    allowed = len(os.sched_getaffinity(0))
    try:
        most, of = QUOTA.read_text().split()
        return min(allowed, int(most) / int(of))
    except (OSError, ValueError):
        return allowed


def memory() -> tuple[int, int]:
    """Return the bytes of memory that are free for programs, and all of them."""
    known = psutil.virtual_memory()
    return known.available, known.total


def disk_free(path: Path) -> int:
    """Return the free bytes where a folder is, or will be."""
    return shutil.disk_usage(nearest(path)).free


def nearest(path: Path) -> Path:
    """Return the folder itself, or the one that it will be made in."""
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())


def has_nvidia() -> bool:
    """Return whether there is an NVIDIA driver."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


@contextmanager
def tensorflow_gpus() -> Iterator[Callable[[], list[str]]]:
    """Load TensorFlow in a process of its own; yield what waits for the GPUs that it sees.

    The function raises CatdogError with the end of what TensorFlow said if it cannot be loaded.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "catdog.core.runtime"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def answer() -> list[str]:
        try:
            out, err = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise CatdogError(f"TensorFlow does not load within {SECONDS} s") from None
        if process.returncode:
            last = (err.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
            raise CatdogError(f"TensorFlow cannot be loaded: {last}")
        return json.loads(out.splitlines()[-1])

    try:
        yield answer
    finally:
        process.kill()
        process.communicate()
