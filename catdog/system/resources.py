"""Measures this machine: cores, memory, disk space, GPUs."""

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
"""A container's share of the processors: microseconds of computing in a period, the period."""

SECONDS = 180
"""Time-out for loading TensorFlow on a busy machine."""


def cores() -> float:
    """Return the number of cores that this process may use; a container may have part of one."""
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = QUOTA.read_text().split()
        return min(allowed, int(quota) / int(period))
    except (OSError, ValueError):
        return allowed


def memory() -> tuple[int, int]:
    """Return the bytes of available and of all memory."""
    measured = psutil.virtual_memory()
    return measured.available, measured.total


def disk_free(path: Path) -> int:
    """Return the free bytes on the disk of a folder, which need not exist yet."""
    return shutil.disk_usage(nearest(path)).free


def nearest(path: Path) -> Path:
    """Return the folder if it exists, else the nearest folder above it that does."""
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())


def has_nvidia() -> bool:
    """Return whether an NVIDIA driver is installed."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


@contextmanager
def tensorflow_gpus() -> Iterator[Callable[[], list[str]]]:
    """Load TensorFlow in a process of its own; yield a function that waits for it.

    The function returns the names of the GPUs that TensorFlow sees. It raises a CatdogError with
    the last line of TensorFlow's output if TensorFlow cannot be loaded.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "catdog.core.runtime"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def wait() -> list[str]:
        try:
            out, err = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise CatdogError(f"TensorFlow does not load within {SECONDS} s") from None
        if process.returncode:
            last = (err.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
            raise CatdogError(f"TensorFlow cannot be loaded: {last}")
        return json.loads(out.splitlines()[-1])

    try:
        yield wait
    finally:
        process.kill()
        process.communicate()
