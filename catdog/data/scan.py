"""Find photos and check each of them once: what it holds, and whether it can be trained on.

Verdicts are remembered by path, size and modification time, so
a second run over the same folder only lists it.
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


class Found(NamedTuple):
    """A file that should be a photo: where it is, its class, and its split if it has one."""

    path: str
    label: str
    split: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What checking a file found; ``problem`` is empty for a good photo."""

    sha256: str
    size: int
    orientation: int = 1
    converted: str = ""
    problem: str = ""


ENTRY_LENGTH = 1 + len(fields(Verdict))
"""Of a remembered file: its stamp and its verdict."""


def find_in_folders(root: Path) -> list[Found]:
    """List the files of class folders, or of train/val/test with class folders inside.

    Raises:
        DataError: the folder is missing, holds no class folders, or mixes them with splits.
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
    """List files named ``<class>.<number>.jpg``, as Kaggle's dogs-vs-cats has them.

    Raises:
        DataError: the folder is missing or holds no such file.
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
    """Check files in a thread pool, or recall what an earlier check found.

    Args:
        paths: Files, all below one folder.
        cache_dir: Folder of the cache; verdicts go to ``index/`` below it.
        progress: Hears of the files that had to be opened.
        threads: Size of the pool; null means all cores.

    Returns:
        One verdict per path, in order.
    """
    paths = list(paths)
    root = os.path.commonpath(paths) if paths else ""
    name = hashlib.sha256(root.encode()).hexdigest()[:16]
    memory = cache_dir / "index" / f"{name}-{formats.VERSION}.json"
    known = _recall(memory)
    stamps = [_stamp(path) for path in paths]
    todo = [i for i, path in enumerate(paths) if known.get(path, ("",))[0] != stamps[i]]
    if todo:
        with (
            warnings.catch_warnings(),  # not in the threads: they would leave each other's filters
            progress.track("Checking photos", len(todo)) as advance,
            ThreadPoolExecutor(threads or os.cpu_count()) as pool,
        ):
            warnings.simplefilter("ignore")  # metadata that is only odd does not make a photo bad
            verdicts = pool.map(lambda i: check(paths[i], cache_dir), todo)
            for i, verdict in zip(todo, verdicts, strict=True):
                known[paths[i]] = [stamps[i], *astuple(verdict)]
                advance(1)
        _remember(memory, known)
    found = [Verdict(*known[path][1:]) for path in paths]
    use_locks.hold(converted_path("", cache_dir).parent)
    return [
        v if _still_there(v, cache_dir) else check(p, cache_dir)
        for p, v in zip(paths, found, strict=True)
    ]


def _still_there(verdict: Verdict, cache_dir: Path) -> bool:
    return not verdict.converted or converted_path(verdict.sha256, cache_dir).exists()


def _stamp(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return "unreadable"
    return f"{status.st_size}:{status.st_mtime_ns}"


def _recall(memory: Path) -> dict[str, list]:
    try:
        known = json.loads(memory.read_text())
        with suppress(OSError):  # not ours; the time says when it was last used
            os.utime(memory)
        return {path: entry for path, entry in known.items() if len(entry) == ENTRY_LENGTH}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # lost or damaged: everything is checked again


def _remember(memory: Path, known: dict[str, list]) -> None:
    write_atomically(memory, json.dumps(known).encode())


def converted_path(sha256: str, cache_dir: Path) -> Path:
    """Return where the PNG copy of a photo that TensorFlow cannot read is kept."""
    return cache_dir / "converted" / f"{sha256}.png"


def check(path: str, cache_dir: Path) -> Verdict:
    """Open one file, decode all of it, and say what it is.

    A photo that TensorFlow decodes unlike Pillow (TIFF, 16-bit PNG, ...) is converted to PNG.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to read a pipe would wait for ever
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
