"""Lists what is in the cache folder.

Only entries with names that catdog gives are listed, and only these can be removed: the folder may
contain other files of the user.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catdog.core import links, listing
from catdog.errors import DataError

KINDS = ("features", "photos", "weights")
"""Kinds of entries; verdicts and PNG copies of photos belong to ``photos``."""

DAY = 86400
"""Seconds."""

REMOVED = "removed-"
"""Prefix of the folders into which entries are moved to be deleted."""

UNFINISHED = r"tmp\w+|.+\.(partial|old)"
PHOTOS = re.compile(r"[0-9a-f]{16}|cats_vs_dogs-[\d.]+-\d+")
DEMO = re.compile(r"v\d+-\d+-\d+")
WEIGHTS = re.compile(r"\w+_[\d.]+_[0-9a-f]{12}_\d+\.npz")
STORE_FILES = {"rows.bin", "index.bin", "recipe.json", "lock"}


@dataclass(frozen=True)
class Item:
    """An entry of the cache.

    Attributes:
        kind: One of ``KINDS``.
        path: The file or folder that a process locks while it uses the entry.
        about: Short description.
        size: Bytes of its files.
        used: Time of its last use, in seconds since 1970.
        parts: What is removed: ``path`` itself, or files in it.
        locks: Lock files that a process holds while it writes the entry.
    """

    kind: str
    path: Path
    about: str
    size: int
    used: float
    parts: tuple[Path, ...]
    locks: tuple[Path, ...] = ()


def items(root: Path) -> list[Item]:
    """Return the entries of a cache folder, by kind, the largest of each first."""
    found = [*_features(root), *_photos(root), *_index(root), *_converted(root), *_weights(root)]
    return sorted(found, key=lambda item: (KINDS.index(item.kind), -item.size))


def unknown(root: Path, known: Iterable[Item]) -> list[str]:
    """Return the names of files and folders in the cache folder that are not catdog's.

    Args:
        root: The cache folder.
        known: Its entries, from ``items``.
    """
    ours = {part for item in known for part in item.parts} | {root / "photos" / "demo"}
    folders = [root, *(root / name for name in ("features", "photos", "weights", "index"))]
    others = [path for folder in folders for path in entries(folder) if path not in ours]
    return [
        str(path.relative_to(root)) for path in others
        if path not in folders and path.name != "converted"
        and path.suffix != ".lock" and not path.name.startswith(REMOVED)
    ]  # fmt: skip


def age_text(used: float, now: float | None = None) -> str:
    """Return how long ago a time was, in days.

    Args:
        used: Seconds since 1970.
        now: The present; None takes the clock.

    Example:
        >>> age_text(0, now=1.5 * DAY), age_text(0, now=30 * DAY)
        ('yesterday', '30 days ago')
    """
    days = int(((time.time() if now is None else now) - used) // DAY)
    return {0: "today", 1: "yesterday"}.get(max(days, 0), f"{days} days ago")


def entries(folder: Path) -> list[Path]:
    """Return the files and folders in a folder, sorted; none if it does not exist."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return sorted(folder.iterdir())
    return []


def _folders(folder: Path, name: re.Pattern[str]) -> Iterator[Path]:
    for path in entries(folder):
        if name.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            yield path


def _features(root: Path) -> Iterator[Item]:
    for path in _folders(root / "features", re.compile(r"[0-9a-f]{20}")):
        names = {entry.name for entry in entries(path)}
        if names <= STORE_FILES or names <= STORE_FILES | _scratch(names):
            dates = [_mtime(path), *_dates(path / "rows.bin")]
            about = _recipe(path)
            locks = (path / "lock",)
            yield Item("features", path, about, size_of(path), max(dates), (path,), locks)


def _scratch(names: Iterable[str]) -> set[str]:
    return {name for name in names if re.fullmatch(UNFINISHED, name)}


def _recipe(path: Path) -> str:
    rows = _mtime_and_size(path / "index.bin")[1] // 36  # SHA-256 and CRC-32, as store.RECORD
    try:
        recipe: dict[str, Any] = json.loads(links.read_plain(path / "recipe.json"))
        view = recipe["view"]
        shown = view if isinstance(view, str) else f"{view[0]} view {view[1]} seed {view[2]}"
        about = f"{recipe['backbone']} {recipe['image_size']} px {recipe['resize']}, {shown}, "
        cut = f"cut at {recipe['cut']}, " if recipe["cut"] else ""
        about += f"{cut}{recipe['pooling'] or 'no pooling'}, {recipe['dtype']}"
        old = _old(recipe)
    except (OSError, ValueError, KeyError, TypeError, IndexError, DataError):
        about, old = "its recipe is lost", ""
    return f"{about}, {rows:,} photos{old}"


def _old(recipe: dict[str, Any]) -> str:
    """Return a note if features were computed by other versions than are installed."""
    for name, shown in (("tensorflow", "TensorFlow"), ("keras", "Keras")):
        with suppress(importlib.metadata.PackageNotFoundError):
            if importlib.metadata.version(name) != recipe[name]:
                return f"; made by {shown} {recipe[name]}"
    return ""


def _photos(root: Path) -> Iterator[Item]:
    places = [(root / "photos", PHOTOS), (root / "photos" / "demo", DEMO)]
    for place, name in places:
        for path in _folders(place, name):
            what = "tensorflow-datasets" if path.name.startswith("cats") else "an unpacked archive"
            what = "drawn demo photos" if name is DEMO else what
            about = f"{what}, {_count(path):,} files"
            locks = (Path(f"{path}.lock"),)
            yield Item("photos", path, about, size_of(path), _mtime(path), (path,), locks)
        beside = tuple(path for path in entries(place) if path.suffix == ".lock")
        for path in _folders(place, re.compile(UNFINISHED)):
            yield Item("photos", path, "unfinished", size_of(path), _mtime(path), (path,), beside)


def _index(root: Path) -> Iterator[Item]:
    for path in entries(root / "index"):
        if re.fullmatch(r"[0-9a-f]{16}-(\d+|tar)\.json", path.name) and not path.is_symlink():
            used, size = _mtime_and_size(path)
            yield Item("photos", path, "what checking a folder found", size, used, (path,))


def _converted(root: Path) -> Iterator[Item]:
    path = root / "converted"
    files = [one for one in entries(path) if re.fullmatch(r"[0-9a-f]{64}\.png", one.name)]
    if files:
        about = f"copies of {len(files):,} photos that TensorFlow cannot read"
        size = sum(_mtime_and_size(file)[1] for file in files)
        yield Item("photos", path, about, size, _mtime(path), tuple(files))


def _weights(root: Path) -> Iterator[Item]:
    place = root / "weights"
    locks = (place / "download.lock",)
    for path in entries(place):
        if WEIGHTS.fullmatch(path.name) and not path.is_symlink():
            about = f"ImageNet weights of {path.name.partition('_1.')[0]}"
            size = _mtime_and_size(path)[1]
            yield Item("weights", path, about, size, max(_dates(path)), (path,), locks)
    for path in _folders(place, re.compile(UNFINISHED)):
        yield Item("weights", path, "unfinished", size_of(path), _mtime(path), (path,), locks)


def _count(folder: Path) -> int:
    return sum(name != listing.NAME for _, _, names in os.walk(folder) for name in names)


def size_of(path: Path) -> int:
    """Return the bytes of all files below a folder; files may disappear meanwhile."""
    total = 0
    for folder, _, names in os.walk(path):
        total += sum(_mtime_and_size(Path(folder, name))[1] for name in names)
    return total


def _mtime_and_size(path: Path) -> tuple[float, int]:
    try:
        known = path.lstat()
    except FileNotFoundError:
        return 0.0, 0
    return known.st_mtime, known.st_size


def _mtime(path: Path) -> float:
    return _mtime_and_size(path)[0]


def _dates(path: Path) -> list[float]:
    """Return when a file was written and, where the file system records it, last read."""
    try:
        known = path.lstat()
    except FileNotFoundError:
        return [0.0]
    return [known.st_mtime, known.st_atime]
