"""Owners of leases: processes named so that no other ever has the name, dead or alive."""

from __future__ import annotations

import functools
import os
import re
import socket
from pathlib import Path

import psutil


@functools.cache
def host() -> str:
    """Return a name of this machine, or container, that no other has."""
    parts = [socket.gethostname()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            place = Path(path)
            known = place.readlink().name if place.is_symlink() else place.read_text().strip()
        except OSError:  # no /proc: the host's name must do
            continue
        parts.append(known[-12:].strip("]"))
    return "-".join(parts)


def me(worker: str = "") -> str:
    """Return a text that names this process, and a worker in it, for ever."""
    return f"{host()} {os.getpid()} {started(os.getpid())} {worker}".strip()


def shown(owner: str) -> tuple[str, int]:
    """Return an owner's host, as people call it, and its process id.

    Example:
        >>> shown("gpu-7-9f3c1d2e4b5a-[4026531836 4711 1700000000.00 5d0c/1")
        ('gpu-7', 4711)
    """
    where, pid, *_ = owner.split(" ")
    return re.sub(r"(-[0-9a-f]{12})?(-\[?\d+)?$", "", where) or where, int(pid)


def worker_of(owner: str) -> str:
    """Return the worker that an owner is within its process."""
    return owner.split(" ", 3)[3] if owner.count(" ") >= 3 else ""


def is_dead(owner: str) -> bool | None:
    """Return whether a process of this host is gone; None for one of another host."""
    where, pid, began, *_ = owner.split(" ")
    if where != host():
        return None
    return started(int(pid)) != began


def started(pid: int) -> str:
    """Return when a process began: a text that goes into databases, so its format stays.

    Args:
        pid: The process, of this host.

    Returns:
        Seconds since 1970 with two digits, or ``gone`` where there is no such process, or only
        its remains (a zombie) that nobody has asked how it ended.

    Example:
        >>> started(2**30)
        'gone'
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return "gone"
        return f"{process.create_time():.2f}"
    except psutil.Error:
        return "gone"
