"""What lies in the cache folder, and how to remove it.

Only what has a name that catdog gives is ever listed or removed: a cache folder may hold a
person's own photos beside.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from catdog.core import use_locks
from catdog.core.use_locks import InUse

KINDS = ("features", "photos", "weights")
"""What can be asked for; what checking photos found, and conversions of them, are of photos."""

DAY = 86400
REMOVED = "removed-"
"""How the folders begin in which things lie that are being deleted."""

UNFINISHED = r"tmp\w+|.+\.(partial|old)"
PHOTOS = re.compile(r"[0-9a-f]{16}|cats_vs_dogs-[\d.]+-\d+")
DEMO = re.compile(r"v\d+-\d+-\d+")
WEIGHTS = re.compile(r"\w+_[\d.]+_[0-9a-f]{12}_\d+\.npz")
STORE_FILES = {"rows.bin", "index.bin", "recipe.json", "lock"}


@dataclass(frozen=True)
class Item:
    """One thing in the cache.

    Attributes:
        kind: One of ``KINDS``.
        path: What a process marks that uses it.
        about: What it is, in a few words.
        size: Bytes of its files.
        used: When it was last used, in seconds since 1970.
        parts: What is removed; ``path`` itself or files in it.
        locks: Held by who writes it.
    """

    kind: str
    path: Path
    about: str
    size: int
    used: float
    parts: tuple[Path, ...]
    locks: tuple[Path, ...] = ()


def items(root: Path) -> list[Item]:
    """List a cache folder, kind by kind, the largest first."""
    found = [*_features(root), *_photos(root), *_index(root), *_converted(root), *_weights(root)]
    return sorted(found, key=lambda item: (KINDS.index(item.kind), -item.size))


def unknown(root: Path, known: Iterable[Item]) -> list[str]:
    """Return the names of what lies there too, and is not catdog's."""
    mine = {part for item in known for part in item.parts} | {root / "photos" / "demo"}
    places = [root, *(root / name for name in ("features", "photos", "weights", "index"))]
    seen = [path for place in places for path in _entries(place) if path not in mine]
    return [
        str(path.relative_to(root)) for path in seen
        if path not in places and path.name != "converted"
        and path.suffix != ".lock" and not path.name.startswith(REMOVED)
    ]  # fmt: skip


def remove(root: Path, item: Item) -> None:
    """Take an item away: at once for others, who then make it anew, and then for good.

    Raises:
        InUse: a process works with it.
        OSError: it cannot be removed.
    """
    with ExitStack() as held:
        held.enter_context(use_locks.claimed(item.path))
        for lock in filter(Path.exists, item.locks):
            writer = FileLock(lock)
            try:
                writer.acquire(timeout=0)
            except Timeout:
                raise InUse("being written") from None
            held.callback(writer.release)
        place = Path(tempfile.mkdtemp(prefix=REMOVED, dir=root))
        try:
            for part in item.parts:
                with suppress(FileNotFoundError):
                    os.rename(part, place / part.name)
        finally:
            shutil.rmtree(place)


def remove_leftovers(root: Path) -> int:
    """Delete what a killed removal left; return its bytes.

    Raises:
        OSError: it cannot be removed.
    """
    left = [path for path in _entries(root) if path.name.startswith(REMOVED)]
    total = sum(map(_size, left))
    for path in left:
        with suppress(FileNotFoundError):  # another process is at it
            shutil.rmtree(path)
    return total


def age_text(used: float, now: float | None = None) -> str:
    """Return how long ago a time was."""
    days = int(((time.time() if now is None else now) - used) // DAY)
    return {0: "today", 1: "yesterday"}.get(max(days, 0), f"{days} days ago")


def _entries(folder: Path) -> list[Path]:
    with suppress(FileNotFoundError, NotADirectoryError):
        return sorted(folder.iterdir())
    return []


def _folders(folder: Path, name: re.Pattern[str]) -> Iterator[Path]:
    for path in _entries(folder):
        if name.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            yield path


def _features(root: Path) -> Iterator[Item]:
    for path in _folders(root / "features", re.compile(r"[0-9a-f]{20}")):
        names = {entry.name for entry in _entries(path)}
        if names <= STORE_FILES or names <= STORE_FILES | _scratch(names):
            dates = [_mtime(path), *_dates(path / "rows.bin")]
            about = _recipe(path)
            locks = (path / "lock",)
            yield Item("features", path, about, _size(path), max(dates), (path,), locks)


def _scratch(names: Iterable[str]) -> set[str]:
    return {name for name in names if re.fullmatch(UNFINISHED, name)}


def _recipe(path: Path) -> str:
    rows = _mtime_size(path / "index.bin")[1] // 36  # SHA-256 and CRC-32, as store.RECORD
    try:
        recipe: dict[str, Any] = json.loads((path / "recipe.json").read_text())
        view = recipe["view"]
        shown = view if isinstance(view, str) else f"{view[0]} view {view[1]} seed {view[2]}"
        about = f"{recipe['backbone']} {recipe['image_size']} px {recipe['resize']}, {shown}, "
        cut = f"cut at {recipe['cut']}, " if recipe["cut"] else ""
        about += f"{cut}{recipe['pooling'] or 'no pooling'}, {recipe['dtype']}"
        old = _old(recipe)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        about, old = "its recipe is lost", ""
    return f"{about}, {rows:,} photos{old}"


def _old(recipe: dict[str, Any]) -> str:
    """Say so if a store was made by libraries that are not installed any more."""
    for name, shown in (("tensorflow", "TensorFlow"), ("keras", "Keras")):
        with suppress(importlib.metadata.PackageNotFoundError):
            if importlib.metadata.version(name) != recipe[name]:
                return f"; made by {shown} {recipe[name]}"
    return ""


def _photos(root: Path) -> Iterator[Item]:
    places = [(root / "photos", PHOTOS), (root / "photos" / "demo", DEMO)]
    for place, name in places:
        for path in _folders(place, name):
            what = "tensorflow-datasets" if path.name.startswith("cats") else "an unpacked zip"
            what = "drawn demo photos" if name is DEMO else what
            about = f"{what}, {_count(path):,} files"
            locks = (Path(f"{path}.lock"),)
            yield Item("photos", path, about, _size(path), _mtime(path), (path,), locks)
        beside = tuple(path for path in _entries(place) if path.suffix == ".lock")
        for path in _folders(place, re.compile(UNFINISHED)):
            yield Item("photos", path, "unfinished", _size(path), _mtime(path), (path,), beside)


def _index(root: Path) -> Iterator[Item]:
    for path in _entries(root / "index"):
        if re.fullmatch(r"[0-9a-f]{16}-\d+\.json", path.name):
            used, size = _mtime_size(path)
            yield Item("photos", path, "what checking a folder found", size, used, (path,))


def _converted(root: Path) -> Iterator[Item]:
    path = root / "converted"
    files = [one for one in _entries(path) if re.fullmatch(r"[0-9a-f]{64}\.png", one.name)]
    if files:
        about = f"copies of {len(files):,} photos that TensorFlow cannot read"
        size = sum(_mtime_size(file)[1] for file in files)
        yield Item("photos", path, about, size, _mtime(path), tuple(files))


def _weights(root: Path) -> Iterator[Item]:
    place = root / "weights"
    locks = (place / "download.lock",)
    for path in _entries(place):
        if WEIGHTS.fullmatch(path.name):
            about = f"ImageNet weights of {path.name.partition('_1.')[0]}"
            size = _mtime_size(path)[1]
            yield Item("weights", path, about, size, max(_dates(path)), (path,), locks)
    for path in _folders(place, re.compile(UNFINISHED)):
        yield Item("weights", path, "unfinished", _size(path), _mtime(path), (path,), locks)


def _count(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


def _size(path: Path) -> int:
    """Return the bytes of all files of a folder; some may go meanwhile."""
    total = 0
    for folder, _, names in os.walk(path):
        total += sum(_mtime_size(Path(folder, name))[1] for name in names)
    return total


def _mtime_size(path: Path) -> tuple[float, int]:
    try:
        known = path.lstat()
    except FileNotFoundError:
        return 0.0, 0
    return known.st_mtime, known.st_size


def _mtime(path: Path) -> float:
    return _mtime_size(path)[0]


def _dates(path: Path) -> list[float]:
    """Return when a file was written and when it was read, as far as the system notes that."""
    try:
        known = path.lstat()
    except FileNotFoundError:
        return [0.0]
    return [known.st_mtime, known.st_atime]
