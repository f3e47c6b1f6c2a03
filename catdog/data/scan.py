"""Checks each file once: is it a photo, and of what kind?

Verdicts are stored in the cache by path, size and times, so a second run over the same folder only
lists it. Each carries a checksum over itself and its path.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import warnings
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from rich.filesize import decimal

from catdog.core import links, use_locks
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

    Raises:
        DataError: one of these places in the cache is a link.
    """
    paths = list(paths)
    links.refuse(cache_dir / "index", cache_dir / "converted")
    root = os.path.commonpath(paths) if paths else ""
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    file = cache_dir / "index" / f"{name}-{formats.VERSION}.json"
    known, earlier = _stored(file, cache_dir)
    stamps = [_stamp(path) for path in paths]
    todo = [i for i, path in enumerate(paths) if not _holds(known, path, stamps[i], cache_dir)]
    if todo:
        with (
            warnings.catch_warnings(),  # not in the threads, which share the filters
            progress.track("Checking photos", len(todo)) as advance,
            ThreadPoolExecutor(threads or os.cpu_count()) as pool,
        ):
            warnings.simplefilter("ignore")  # unusual metadata does not make a photo bad
            verdicts = pool.map(lambda i: check(paths[i], cache_dir), todo)
            for i, verdict in zip(todo, verdicts, strict=True):
                known[paths[i]] = _entry(paths[i], stamps[i], verdict, cache_dir)
                advance(1)
    if todo or earlier:
        write_atomically(file, json.dumps(known).encode())
    use_locks.hold(converted_path("", cache_dir).parent)
    return [Verdict(*known[path][1:EARLIER_LENGTH]) for path in paths]


EARLIER_LENGTH = 1 + len(fields(Verdict))
"""Length of an entry of the earlier format: the file's stamp, then its verdict. Today the stamp of
its PNG copy and the checksum follow. Earlier ones are accepted, and get both at once, and the time
of change for their stamp."""


def _entry(path: str, stamp: str, verdict: Verdict, cache_dir: Path) -> list:
    held = [stamp, *astuple(verdict), _copy_stamp(verdict.converted, verdict.sha256, cache_dir)]
    return [*held, _checksum(path, held)]


def _checksum(path: str, held: list) -> int:
    return zlib.crc32("\0".join(map(str, (path, *held))).encode(errors="surrogatepass"))


def _stored(file: Path, cache_dir: Path) -> tuple[dict[str, list], bool]:
    """Read the entries that are whole; those of the earlier format are completed.

    Returns:
        The entries by path, and whether some were of the earlier format.
    """
    try:
        known = json.loads(links.read_plain(file))
        with suppress(OSError):  # another user's file; its time says when it was last used
            os.utime(file, follow_symlinks=False)
        earlier = [path for path, entry in known.items() if len(entry) == EARLIER_LENGTH]
        for path in earlier:
            stamp, *verdict = known[path]
            now = _stamp(path)
            stamp = now if now.startswith(f"{stamp}:") else stamp
            known[path] = _entry(path, stamp, Verdict(*verdict), cache_dir)
        whole = {p: entry for p, entry in known.items() if entry[-1] == _checksum(p, entry[:-1])}
        return whole, bool(earlier)
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        return {}, False  # lost or damaged: everything is checked again


def _holds(known: dict[str, list], path: str, stamp: str, cache_dir: Path) -> bool:
    """Return whether the stored verdict is that of the file and of its PNG copy."""
    if path not in known or known[path][0] != stamp:
        return False
    _, sha256, _, _, converted, _, copy, _ = known[path]
    return not converted or copy == _copy_stamp(converted, sha256, cache_dir) != UNREADABLE


def _copy_stamp(converted: str, sha256: str, cache_dir: Path) -> str:
    if not converted:
        return ""
    copy = converted_path(sha256, cache_dir)
    links.refuse(copy)
    return _stamp(str(copy))


UNREADABLE = "unreadable"


def _stamp(path: str) -> str:
    """Return what tells whether a file has changed: its size and times."""
    try:
        status = os.stat(path)
    except OSError:
        return UNREADABLE
    # programs set the time of modification as they like, but not the time of change
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


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
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would never end
            return Verdict("", 0, problem="unreadable: not a regular file")
        if status.st_size > formats.MAX_BYTES:
            return Verdict("", status.st_size, problem=_too_large(status.st_size))
        with open(path, "rb") as file:
            data = file.read(status.st_size)  # not more, though it may be growing
    except OSError as error:
        return Verdict("", 0, problem=f"unreadable: {error.strerror}")
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        facts = formats.inspect(data)
    except ValueError as problem:
        return Verdict(sha256, len(data), problem=str(problem))
    if facts.png is None:
        return Verdict(sha256, len(data), facts.orientation)
    _keep(converted_path(sha256, cache_dir), facts.png)
    return Verdict(sha256, len(data), facts.orientation, facts.format)


def _too_large(size: int) -> str:
    most = decimal(formats.MAX_BYTES)
    return f"too large: {decimal(size)}, at most {most} are read; save it as JPEG"


def _keep(copy: Path, png: bytes) -> None:
    """Write a PNG copy unless it is there already: verdicts of other folders know its time."""
    links.refuse(copy.parent)
    with suppress(FileNotFoundError):
        if links.read_plain(copy) == png:
            return
    write_atomically(copy, png)
