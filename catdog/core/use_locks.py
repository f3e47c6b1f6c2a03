"""Locks on entries of the cache, so that none is removed while a process uses it.

A user of an entry holds a shared ``flock`` on the folder or file itself. It leaves no file behind,
and the system releases it when the process ends, however that happens.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from catdog.core import links

LOCKS = Path("/proc/locks")

UNFOLLOWED = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
"""Opens a folder or file to be read, but no link, and does not wait for the writer of a pipe."""

_held: dict[Path, int] = {}
"""File descriptors of the locks of this process; they stay open until it ends."""


class InUse(Exception):
    """Another process uses the entry."""


def hold(path: Path) -> bool:
    """Keep a folder or file from being removed until this process ends; set its time of use.

    Waits for the end of a removal that has begun.

    Args:
        path: An entry of the cache.

    Returns:
        Whether the entry exists. Where it cannot be locked, True: it can still be used.

    Raises:
        DataError: it is a link.
    """
    try:
        descriptor = os.open(path, UNFOLLOWED)
    except FileNotFoundError:
        return False
    except OSError:
        links.refuse(path)
        return True
    with suppress(OSError):
        os.utime(descriptor)
    earlier = _held.get(path)
    if earlier is not None and os.path.samestat(os.fstat(earlier), os.fstat(descriptor)):
        os.close(descriptor)
        return True
    with suppress(OSError):  # not every file system has locks
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    if not _is_still(path, descriptor):
        os.close(descriptor)
        return False
    if earlier is not None:
        os.close(earlier)
    _held[path] = descriptor
    return True


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Lock a folder or file exclusively, so that it can be removed.

    Args:
        path: An entry of the cache.

    Raises:
        InUse: another process holds it; the message names the processes where they are known.
        OSError: it does not exist any more, or cannot be locked.
    """
    descriptor = os.open(path, UNFOLLOWED)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(_in_use_by(_holders(os.fstat(descriptor).st_ino))) from None
        if not _is_still(path, descriptor):
            raise FileNotFoundError(2, os.strerror(2), str(path))
        yield
    finally:
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """Return whether the path still names the opened file, not removed or replaced."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holders(inode: int) -> list[str]:
    """Return the ids of the processes that hold a lock, as far as /proc lists them."""
    with suppress(OSError):
        found = re.findall(rf"^\d+: FLOCK +\w+ +\w+ +(\d+) \S+:{inode} ", LOCKS.read_text(), re.M)
        return sorted(set(found) - {"0"}, key=int)  # 0 is a process outside of this container
    return []


def _in_use_by(pids: list[str]) -> str:
    return f"in use by process {', '.join(pids)}" if pids else "in use"
