"""Owners of leases: processes named so that no other ever has the name, dead or alive."""

from __future__ import annotations

import functools
import os
import re
import socket
import time
from pathlib import Path

import psutil

DAY = 86400.0
"""Seconds; by more than this no step of a clock is taken to have moved a process's start."""


@functools.cache
def host() -> str:
    """Return a name of this machine, or container, that no other has: with boot and namespace."""
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
        >>> shown("gpu-7-9f3c1d2e4b5a-[4026531836 4711 1653412 5d0c/1")
        ('gpu-7', 4711)
    """
    where, pid, *_ = owner.split(" ")
    return re.sub(r"(-[0-9a-f]{12})?(-\[?\d+)?$", "", where) or where, int(pid)


def worker_of(owner: str) -> str:
    """Return the worker that an owner is within its process."""
    return owner.split(" ", 3)[3] if owner.count(" ") >= 3 else ""


def is_dead(owner: str) -> bool | None:
    """Return whether a process of this host is gone; None for one that cannot be known here.

    That is one of another host, boot or pid namespace; and one whose start an earlier version
    kept in seconds since 1970, which moves when the clock does, if its process id is in use.
    """
    where, pid, began, *_ = owner.split(" ")
    return has_ended(int(pid), began) if where == host() else None


def has_ended(pid: int, began: str) -> bool | None:
    """Return whether the process that began then is gone; None where it cannot be known.

    Args:
        pid: The process, of this host and pid namespace.
        began: What ``started`` returned for it, in this version or an earlier one.

    Example:
        >>> has_ended(os.getpid(), started(os.getpid())), has_ended(2**30, "1700000000.00")
        (False, True)
    """
    now = started(pid)
    if "gone" in (now, began) or now == began:
        return now != began or now == "gone"
    if "." not in began or "." in now:
        return True  # the number is in use again
    # an earlier version's: only a start before this boot is certain, whatever the clock did
    return True if float(began) < psutil.boot_time() - DAY else None


def started(pid: int) -> str:
    """Return when a process began: a text that goes into databases, so its format stays.

    It must not move with the clock, as seconds since 1970 do: Linux counts from the boot.

    Args:
        pid: The process, of this host.

    Returns:
        Clock ticks since boot, or seconds since 1970 with two digits where there is no ``/proc``,
        or ``gone`` where there is no such process, or only its remains (a zombie) that nobody has
        asked how it ended.

    Example:
        >>> started(2**30)
        'gone'
    """
    if not Path("/proc/self/stat").exists():
        return _created(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return "gone"
    state, *fields = stat[stat.rindex(b")") + 1 :].split()  # a program's name may hold anything
    return "gone" if state in (b"Z", b"X") else fields[18].decode()  # the 22nd of them all


def _created(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return "gone"
        return f"{process.create_time():.2f}"
    except psutil.Error:
        return "gone"


def steady() -> float:
    """Return seconds since some moment, which go on while the machine sleeps, and never jump."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
