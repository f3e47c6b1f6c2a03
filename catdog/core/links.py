"""Opens files of the cache without following links.

Several people may share a cache. A link that one of them plants under a name that catdog uses
would make it read, overwrite or date whatever the link points at, with the rights of its user. So
what lies in the cache is refused if it is a link. The cache folder itself may be one, as may any
folder above it: ``~/.cache/catdog`` on a larger disk is its owner's choice.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from filelock import FileLock

from catdog.errors import DataError

FIX = "Delete it; only the cache folder itself may be a link"


def refuse(*paths: Path) -> None:
    """Refuse files and folders that are symbolic links; others, and missing ones, are fine.

    Raises:
        DataError: one is a link; the message names it and where it points.

    Example:
        >>> refuse(Path("cache"), Path("cache/features"))
    """
    for path in paths:
        if path.is_symlink():
            raise DataError(path, f"is a link (to {os.readlink(path)}), and is not followed", FIX)


def open_plain(path: Path, flags: int = os.O_RDONLY, mode: int = 0o666) -> int:
    """Open a regular file, as ``os.open`` does, but no link, pipe or device.

    Args:
        path: The file.
        flags: Flags of ``os.open``.
        mode: Permissions of a file that is created, less the umask.

    Returns:
        A file descriptor.

    Raises:
        DataError: it is a link, or no regular file.
        OSError: it cannot be opened.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "rows.bin"
        >>> file.write_bytes(b"rows")
        4
        >>> with os.fdopen(open_plain(file), "rb") as opened:
        ...     opened.read()
        b'rows'
    """
    try:  # without waiting: for a pipe, until somebody writes to it
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            refuse(path)
        if error.errno == errno.ENXIO:  # a pipe without a reader, or a socket
            raise _irregular(path) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _irregular(path)
    return descriptor


def read_plain(path: Path) -> bytes:
    """Read a regular file, but no link, pipe or device.

    Raises:
        DataError: it is a link, or no regular file.
        OSError: it cannot be read.
    """
    with os.fdopen(open_plain(path), "rb") as file:
        return file.read()


def lock(path: Path) -> FileLock:
    """Return a lock that other processes respect, in a file that is no link.

    Args:
        path: The lock's file, in a folder that exists; it stays when the lock is released.

    Raises:
        DataError: it is a link.
    """
    refuse(path)
    return FileLock(path)  # opens its file without following links itself, since 3.20.1


def _irregular(path: Path) -> DataError:
    return DataError(path, "is no regular file", "Delete it; catdog makes it again")
