"""Finds the photos of a folder and checks each of them once: is it a photo, and of what kind?

Verdicts are stored in the cache by path, size and modification time, so a second run over the same
folder only lists it. Each carries a checksum over itself and its path.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import warnings
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import NamedTuple

from catdog.core import links, use_locks
from catdog.core.files import write_atomically
from catdog.core.sizes import size_text
from catdog.data import formats
from catdog.errors import DataError
from catdog.progress import Progress

READY_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
"""Names of folders that are ready-made splits, and the split that each stands for."""


class Found(NamedTuple):
    """A file that should be a photo.

    Attributes:
        path: The file.
        label: Name of its class.
        split: Its split where the data set has ready-made ones, else None.
    """

    path: str
    label: str
    split: str | None


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


def find_in_folders(root: Path) -> list[Found]:
    """List the files in class folders, or in train, val and test with class folders inside.

    Args:
        root: The folder; one that only contains another folder stands for that one.

    Returns:
        All files, whether they are photos or not, in the order of their paths.

    Raises:
        DataError: the folder is missing, has no class folders, or mixes them with splits.
    """
    folders = _subfolders(root)
    while len(folders) == 1 and _subfolders(folders[0]):
        root, folders = folders[0], _subfolders(folders[0])  # archives often wrap a single folder
    ready = {f: READY_SPLITS[f.name.lower()] for f in folders if f.name.lower() in READY_SPLITS}
    if ready and len(ready) == len(folders):
        return [
            Found(path, label.name, split)
            for folder, split in ready.items()
            for label in _subfolders(folder)
            for path in _files(label)
        ]
    if len(ready) > 1:
        others = ", ".join(folder.name for folder in folders if folder not in ready)
        raise DataError(
            root,
            f"ready-made splits stand beside other folders ({others})",
            "Leave only train, val and test there, or only class folders",
        )
    if not folders:
        raise DataError(
            root, "no class folders in it", "Expected <class>/<photo>, one folder per class"
        )
    return [Found(path, folder.name, None) for folder in folders for path in _files(folder)]


def find_by_name(root: Path) -> list[Found]:
    """List the files named ``<class>.<number>.jpg``, as in Kaggle's dogs-vs-cats.

    Args:
        root: The folder; its subfolders are searched too.

    Raises:
        DataError: the folder is missing or has no such file.
    """
    _subfolders(root)
    pattern = re.compile(r"([^.]+)\.\d+\.\w+$")
    found = [
        Found(path, match.group(1), None)
        for path in _files(root)
        if (match := pattern.match(os.path.basename(path)))
    ]
    if not found:
        raise DataError(root, "no files named like cat.0.jpg", "For class folders use data=folder")
    return found


def _subfolders(root: Path) -> list[Path]:
    if not root.is_dir():
        raise DataError(root, "there is no such folder", "Check data.path")
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))


def _files(root: Path) -> list[str]:
    found = []
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders[:] = sorted(n for n in subfolders if not n.startswith((".", "__MACOSX")))
        found += [os.path.join(folder, name) for name in sorted(names) if not name.startswith(".")]
    return found


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
    name = hashlib.sha256(root.encode()).hexdigest()[:16]
    file = cache_dir / "index" / f"{name}-{formats.VERSION}.json"
    known = _stored(file, cache_dir)
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
        write_atomically(file, json.dumps(known).encode())
    use_locks.hold(converted_path("", cache_dir).parent)
    return [Verdict(*known[path][1:EARLIER_LENGTH]) for path in paths]


EARLIER_LENGTH = 1 + len(fields(Verdict))
"""Length of an entry of the earlier format: the file's stamp, then its verdict. Today the stamp of
its PNG copy and the checksum follow. Earlier ones are accepted, and get both when next written."""


def _entry(path: str, stamp: str, verdict: Verdict, cache_dir: Path) -> list:
    held = [stamp, *astuple(verdict), _copy_stamp(verdict.converted, verdict.sha256, cache_dir)]
    return [*held, _checksum(path, held)]


def _checksum(path: str, held: list) -> int:
    return zlib.crc32("\0".join(map(str, (path, *held))).encode(errors="surrogatepass"))


def _stored(file: Path, cache_dir: Path) -> dict[str, list]:
    """Read the entries that are whole; those of the earlier format are completed."""
    try:
        known = json.loads(links.read_plain(file))
        with suppress(OSError):  # another user's file; its time says when it was last used
            os.utime(file, follow_symlinks=False)
        for path, entry in known.items():
            if len(entry) == EARLIER_LENGTH:
                known[path] = _entry(path, entry[0], Verdict(*entry[1:]), cache_dir)
        return {p: entry for p, entry in known.items() if entry[-1] == _checksum(p, entry[:-1])}
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        return {}  # lost or damaged: everything is checked again


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
    """Return what tells whether a file has changed: its size and time of modification."""
    try:
        status = os.stat(path)
    except OSError:
        return UNREADABLE
    return f"{status.st_size}:{status.st_mtime_ns}"


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
    most = size_text(formats.MAX_BYTES)
    return f"too large: {size_text(size)}, at most {most} are read; save it as JPEG"


def _keep(copy: Path, png: bytes) -> None:
    """Write a PNG copy unless it is there already: verdicts of other folders know its time."""
    links.refuse(copy.parent)
    with suppress(FileNotFoundError):
        if links.read_plain(copy) == png:
            return
    write_atomically(copy, png)
