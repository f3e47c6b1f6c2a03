"""Finds the photos of a folder and checks each of them once: is it a photo, and of what kind?

Verdicts are stored in the cache by path, size and modification time, so a second run over the same
folder only lists it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import NamedTuple

from catdog.core import use_locks
from catdog.core.files import write_atomically
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
    """
    paths = list(paths)
    root = os.path.commonpath(paths) if paths else ""
    name = hashlib.sha256(root.encode()).hexdigest()[:16]
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
    """Return what tells whether a file has changed: its size and time of modification."""
    try:
        status = os.stat(path)
    except OSError:
        return "unreadable"
    return f"{status.st_size}:{status.st_mtime_ns}"


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
