"""Checks each file once: is it a photo, and of what kind?

Verdicts are stored in the cache by path, size and times, so a second run over the same
folder only lists it.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from catdog.core import use_locks
from catdog.core.files import write_atomically
from catdog.data import formats
from catdog.progress import Progress


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of checking a file.

    Attributes:
        sha256: Hash of its content, in hexadecimal; empty if it cannot be read.
        size: Its bytes.
        orientation: EXIF orientation, 1 to 8.
        converted: Its format if a PNG copy was made, such as ``TIFF RGB``, else empty.
        problem: Why it is no usable photo; empty for a good one.
    """

    sha256: str
    size: int
    orientation: int = 1
    converted: str = ""
    problem: str = ""


def check_all(
    paths: Iterable[str], cache_dir: Path, progress: Progress, threads: int | None = None
) -> list[Verdict]:
    """Check files in a thread pool, or read the stored verdict of those that did not change.

    Args:
        paths: Files, all below one folder.
        cache_dir: Folder of the cache; verdicts go to ``index`` in it, PNG copies to
            ``converted``.
        progress: Receives the progress of checking, for files without a stored verdict.
        threads: Number of threads; None means one for each core.

    Returns:
        One verdict per path, in order.
    """
    paths = list(paths)
    root = os.path.commonpath(paths) if paths else ""
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    file = cache_dir / "index" / f"{name}-{formats.VERSION}.json"
    known = _stored(file)
    stamps = [_stamp(path) for path in paths]
    todo = [i for i, path in enumerate(paths) if known.get(path, ("",))[0] != stamps[i]]
    if todo:
        with (
            warnings.catch_warnings(),  # not in the threads, which share the filters
            progress.track("Checking photos", len(todo)) as advance,
            ThreadPoolExecutor(threads or os.cpu_count()) as pool,
        ):
            warnings.simplefilter("ignore")  # unusual metadata does not make a photo bad
            verdicts = pool.map(lambda i: check(paths[i], cache_dir), todo)
            for i, verdict in zip(todo, verdicts, strict=True):
                known[paths[i]] = [stamps[i], *astuple(verdict)]
                advance(1)
        write_atomically(file, json.dumps(known).encode())
    found = [Verdict(*known[path][1:]) for path in paths]
    use_locks.hold(converted_path("", cache_dir).parent)
    return [
        v if _has_copy(v, cache_dir) else check(p, cache_dir)
        for p, v in zip(paths, found, strict=True)
    ]


ENTRY_LENGTH = 1 + len(fields(Verdict))
"""Length of a stored entry: the file's stamp, then its verdict."""


def _stored(file: Path) -> dict[str, list]:
    try:
        known = json.loads(file.read_text())
        with suppress(OSError):  # another user's file; its time says when it was last used
            os.utime(file)
        return {path: entry for path, entry in known.items() if len(entry) == ENTRY_LENGTH}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # lost or damaged: everything is checked again


def _stamp(path: str) -> str:
    """Return what tells whether a file has changed: its size and times."""
    try:
        status = os.stat(path)
    except OSError:
        return "unreadable"
    # programs set the time of modification as they like, but not the time of change
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def _has_copy(verdict: Verdict, cache_dir: Path) -> bool:
    return not verdict.converted or converted_path(verdict.sha256, cache_dir).exists()


def converted_path(sha256: str, cache_dir: Path) -> Path:
    """Return the path of the PNG copy of a photo that TensorFlow cannot read.

    Example:
        >>> converted_path("0a1b", Path("cache")).as_posix()
        'cache/converted/0a1b.png'
    """
    return cache_dir / "converted" / f"{sha256}.png"


def check(path: str, cache_dir: Path) -> Verdict:
    """Decode one file completely and return the verdict.

    A photo that TensorFlow decodes differently from Pillow (TIFF, 16-bit PNG, ...) is converted to
    PNG.

    Args:
        path: The file.
        cache_dir: Folder of the cache, for the PNG copy.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # reading a pipe would never end
            return Verdict("", 0, problem="unreadable: not a regular file")
        data = Path(path).read_bytes()
    except OSError as error:
        return Verdict("", 0, problem=f"unreadable: {error.strerror}")
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        facts = formats.inspect(data)
    except ValueError as problem:
        return Verdict(sha256, len(data), problem=str(problem))
    if facts.png is None:
        return Verdict(sha256, len(data), facts.orientation)
    write_atomically(converted_path(sha256, cache_dir), facts.png)
    return Verdict(sha256, len(data), facts.orientation, facts.format)
