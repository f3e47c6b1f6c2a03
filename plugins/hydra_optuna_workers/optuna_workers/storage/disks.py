"""Says in one sentence that a disk is full or cannot be written: which place, and what to do."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

FULL, CLOSED, FAILING = "is full", "cannot be written", "does not work"

ERRNOS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: FULL,
    errno.EROFS: CLOSED,
    errno.EACCES: CLOSED,
    errno.EPERM: CLOSED,
    errno.EIO: FAILING,
}

WORDS = {
    "no space left on device": FULL,
    "disk quota exceeded": FULL,
    "database or disk is full": FULL,
    "file too large": FULL,
    "read-only file system": CLOSED,
    "readonly database": CLOSED,
    "unable to open database file": CLOSED,
    "no usable temporary directory": CLOSED,
    "disk i/o error": FAILING,
}
"""What databases, HDF5 and TensorFlow say, whose errors have no number."""

LIBRARIES = ("sqlite3", "sqlalchemy", "optuna", "psycopg", "mlflow", "tensorflow")
"""Whose exceptions are read for these words, beside those of the operating system."""

DATABASES = ("database", "disk i/o error")

SPARE = 256 * 1024
"""Bytes: a disk with less than this left is the one that was full."""

LITTLE = 2**20 * 100
"""Bytes: no disk with more is named for an error that does not say which one is full."""

FREED = (
    "free some space there, or name another disk by {key}=<folder>; what was finished is kept, "
    "and the same command goes on"
)
OPENED = "make it writable, or name another place by {key}=<folder>"


def trouble(error: BaseException, places: Mapping[str, object]) -> str | None:
    """Return the message for an error that comes from a disk; None for any other error.

    Args:
        error: The error, which may be the result of another one.
        places: What the program writes to, files or folders, by the key that sets it. Errors of
            writing name no file, so these are looked at.

    Example:
        >>> print(trouble(OSError(errno.EROFS, "Read-only file system", "/mnt/a.csv"), {}))
        /mnt/a.csv: cannot be written (Read-only file system); make it writable
        >>> trouble(ValueError("x"), {}) is None
        True
    """
    folders = {key: Path(os.path.expanduser(str(place))) for key, place in places.items() if place}
    for one in _chain(error):
        kind, reason = _kind(one)
        if kind:
            return _told(kind, reason, *_place(one, kind, reason, folders))
    return None


def is_everyones(error: BaseException) -> bool:
    """Return whether an error of a disk would stop all other trials too: it is full, read-only.

    A file that one user may not open can be a single trial's fault.

    Example:
        >>> is_everyones(OSError(errno.ENOSPC, "No space left on device"))
        True
        >>> is_everyones(PermissionError(errno.EACCES, "Permission denied", "a.csv"))
        False
    """
    for one in _chain(error):
        if (kind := _kind(one)[0]) and getattr(one, "errno", 0) not in (errno.EACCES, errno.EPERM):
            return kind != FAILING or "disk" in str(one)
    return False


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield what an error comes from, the first cause first, and then the error itself."""
    seen: list[BaseException] = []
    now: BaseException | None = error
    while now is not None and now not in seen:
        seen.append(now)
        now = now.__cause__ or (None if now.__suppress_context__ else now.__context__)
    yield from reversed(seen)


def _kind(error: BaseException) -> tuple[str, str]:
    number = error.errno if isinstance(error, OSError) else None
    if number in ERRNOS:
        return ERRNOS[number], os.strerror(number)
    if not isinstance(error, OSError) and not type(error).__module__.startswith(LIBRARIES):
        return "", ""
    said = str(error)
    for words, kind in WORDS.items():
        if found := re.search(re.escape(words), said, re.IGNORECASE):
            return kind, found.group()
    return "", ""


def _place(
    error: BaseException, kind: str, reason: str, folders: Mapping[str, Path]
) -> tuple[str, Path | None]:
    """Return the key and the path that an error is about, as far as that can be told."""
    named = getattr(error, "filename", None)
    if isinstance(named, (str, bytes)) and named:
        path = Path(os.fsdecode(named))
        inside = [key for key, folder in folders.items() if path.is_relative_to(folder)]
        deepest = max(inside, key=lambda key: len(folders[key].parts), default="")
        return deepest, path
    suspected = list(folders.items())
    if any(word in reason.lower() for word in DATABASES):
        suspected = [one for one in suspected if one[1].suffix == ".db"] or suspected
    elif "temporary" in reason.lower():
        return "TMPDIR", None
    bad = [(key, path) for key, path in suspected if _is(kind, path)]
    if kind == FULL and suspected and not bad:  # whoever failed has removed its file again
        fullest = min(suspected, key=lambda one: _free(_existing(one[1])))
        bad = [fullest] if _free(_existing(fullest[1])) < LITTLE else []
    return bad[0] if bad else ("", None)


def _is(kind: str, path: Path) -> bool:
    folder = _existing(path)
    if kind == FULL:
        return _free(folder) < SPARE
    return not os.access(path if path.exists() else folder, os.W_OK)


def _existing(path: Path) -> Path:
    """Return the nearest folder of a path that exists."""
    return next((one for one in (path, *path.absolute().parents) if one.is_dir()), Path("/"))


def _free(folder: Path) -> int:
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize


def _told(kind: str, reason: str, key: str, path: Path | None) -> str:
    what = f"{key}={path}" if key and path else str(path or key or "a disk")
    if kind == FULL:
        room = f", {_size(_free(_existing(path)))} are left" if path else ""
        fix = FREED if key else FREED.replace(", or name another disk by {key}=<folder>", "")
        return f"{what}: the disk is full ({reason}{room}); {fix.format(key=key)}"
    if reason.lower() == "no usable temporary directory":
        return f"no folder for temporary files can be written; {OPENED.format(key='TMPDIR')}"
    fix = OPENED if key else OPENED.split(",")[0]
    if kind == FAILING:
        fix = "check the disk; " + FREED.split("; ")[1]
    return f"{what}: {kind} ({reason}); {fix.format(key=key)}"


def _size(count: int) -> str:
    from rich.filesize import decimal

    return decimal(count)


def temporary() -> str:
    """Return the folder of temporary files, even if none can be written.

    Example:
        >>> Path(temporary()).is_absolute()
        True
    """
    try:
        return tempfile.gettempdir()
    except OSError:
        return os.environ.get("TMPDIR") or "/tmp"
