"""Which parts of the cache a process works with: nobody removes those meanwhile.

A mark is a shared ``flock`` on the folder or file itself. It leaves nothing behind, and the system
takes it away when its process ends, however that happens.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCKS = Path("/proc/locks")

_held: dict[Path, int] = {}
"""Descriptors of what this process holds; nothing but its end closes them."""


class InUse(Exception):
    """Somebody works with it."""


def hold(path: Path) -> bool:
    """Keep a folder or file from being removed as long as this process lives; note the time.

    Waits for a removal that has begun.

    Returns:
        False if it is not there, or not any more.
    """
    try:
        mark = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # it cannot be marked, which is no reason not to use it
    with suppress(OSError):
        os.utime(mark)
    known = _held.get(path)
    if known is not None and os.path.samestat(os.fstat(known), os.fstat(mark)):
        os.close(mark)
        return True
    with suppress(OSError):  # not every file system has locks
        fcntl.flock(mark, fcntl.LOCK_SH)
    if not _is(path, mark):
        os.close(mark)
        return False
    if known is not None:
        os.close(known)
    _held[path] = mark
    return True


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Have a folder or file for oneself, so that it can be removed.

    Raises:
        InUse: it is held; the message says by which processes, where the system tells.
        OSError: it is gone, or cannot be locked.
    """
    mark = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(_by(_holders(os.fstat(mark).st_ino))) from None
        if not _is(path, mark):
            raise FileNotFoundError(2, os.strerror(2), str(path))
        yield
    finally:
        os.close(mark)


def _is(path: Path, mark: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(mark))
    except FileNotFoundError:
        return False


def _holders(inode: int) -> list[str]:
    """Return the ids of the processes that hold it, as far as /proc tells."""
    with suppress(OSError):
        found = re.findall(rf"^\d+: FLOCK +\w+ +\w+ +(\d+) \S+:{inode} ", LOCKS.read_text(), re.M)
        return sorted(set(found) - {"0"}, key=int)  # 0 lives outside of this container
    return []


def _by(pids: list[str]) -> str:
    return f"in use by process {', '.join(pids)}" if pids else "in use"
