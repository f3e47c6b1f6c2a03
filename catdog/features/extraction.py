"""Compute the features that the feature store lacks, each once.

A recipe describes everything that a stored row depends on, except the photo. Its hash is the name
of the store's folder, in which a row is found by the hash of the photo's content. So all runs,
trials and sweeps that need the same rows share them, however their photos are split and wherever
the files are.

The recipe lies beside the rows and is compared when a store is opened. Rows of the earlier format,
whose checksum does not say to which store they belong, are only accepted if it is the right one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import Timeout
from rich.filesize import decimal

from catdog.core import links, use_locks
from catdog.core.files import write_atomically
from catdog.data.manifest import Photo
from catdog.errors import DataError, FullDiskError
from catdog.features.extractor import Extractor, narrow
from catdog.features.store import Store
from catdog.progress import Progress


@dataclass(frozen=True)
class FeatureSet:
    """The stored features of n photos.

    Attributes:
        views: For each view its store and (n,) int64 row numbers in it.
        labels: (n,) int32 class indices.
    """

    views: tuple[tuple[Store, np.ndarray], ...]
    labels: np.ndarray

    @property
    def nbytes(self) -> int:
        """Size of all rows of all views, in bytes."""
        return sum(store.row_bytes * len(rows) for store, rows in self.views)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.views[0][0].shape


def ensure(
    root: Path,
    extractor: Extractor,
    photos: Sequence[Photo],
    *,
    policy: str = "none",
    views: int = 1,
    seed: int = 0,
    progress: Progress,
    split: str = "",
) -> FeatureSet:
    """Return the stored features of photos, after computing those that are missing.

    Args:
        root: The cache folder; feature stores are its subfolders ``features/<key>``.
        extractor: Computes the features.
        photos: The photos, in the order of the result.
        policy: The augmentation: ``none``, ``flip``, ``light`` or ``strong``.
        views: Views per photo, at least 1; view 0 is the photo without changes.
        seed: Seed of the augmentation.
        progress: Receives the number of photos in every batch.
        split: Name of these photos in the progress display.

    Returns:
        Rows and labels, in the order of ``photos``.

    Raises:
        FullDiskError: ``features.dir`` is too small.
        ConfigError: a value overflows ``features.dtype``.
        DataError: a photo was removed or changed since it was indexed, the disk returns other
            bytes than were written, or a folder or file of the store is a link.
    """
    hashes = [photo.sha256 for photo in photos]
    stored = []
    for view in range(views):
        recipe = extractor.recipe(policy, view, seed)
        store = _open_store(root, recipe, extractor, progress)
        rows = store.find(hashes)
        if (rows < 0).any():
            task = _Task(policy, view, seed, split)
            _fill(store, recipe, extractor, photos, task, progress)
            rows = store.find(hashes)
        if (rows < 0).any():
            raise DataError(store.folder, "rows are damaged right after writing", "Check the disk")
        stored.append((store, rows))
    return FeatureSet(tuple(stored), np.array([photo.label for photo in photos], np.int32))


def key(recipe: dict[str, Any]) -> str:
    """Return the feature store's key: 20 hexadecimal digits of the recipe's SHA-256.

    >>> key({"dtype": "float16", "view": "clean"})
    'f25c6dff971d21f22f9b'
    """
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:20]


def _open_store(
    root: Path, recipe: dict[str, Any], extractor: Extractor, progress: Progress
) -> Store:
    folder = root / "features" / key(recipe)
    links.refuse(folder.parent, folder)
    folder.mkdir(parents=True, exist_ok=True)
    while not use_locks.hold(folder):  # another process was deleting it
        folder.mkdir(parents=True, exist_ok=True)
    own = _is_of(folder, recipe)
    store = Store(folder, extractor.shape, extractor.dtype, earlier=own)
    if not own and (folder / "index.bin").exists():
        progress.note(f"{folder}/recipe.json is damaged or of another store; checking its rows")
        with suppress(PermissionError), store.lock():  # another user's store may still be read
            store.forget_earlier()
            _write_recipe(folder, recipe)
    return store


def _is_of(folder: Path, recipe: dict[str, Any]) -> bool:
    """Return whether a store's folder has this recipe in it."""
    try:
        return key(json.loads(links.read_plain(folder / "recipe.json"))) == key(recipe)
    except (OSError, ValueError, TypeError, RecursionError):  # lost or damaged
        return False


def _write_recipe(folder: Path, recipe: dict[str, Any]) -> None:
    text = json.dumps(recipe, indent=2, sort_keys=True)
    write_atomically(folder / "recipe.json", text.encode())


@dataclass(frozen=True)
class _Task:
    """One view of photos, to be computed."""

    policy: str
    view: int
    seed: int
    split: str

    @property
    def title(self) -> str:
        """Name in the progress display."""
        view = f", view {self.view}" if self.view else ""
        return f"Features of {self.split or 'photos'}{view}"


def _fill(
    store: Store,
    recipe: dict[str, Any],
    extractor: Extractor,
    photos: Sequence[Photo],
    task: _Task,
    progress: Progress,
) -> None:
    """Compute the missing rows while holding the writer's lock."""
    lock = store.lock()
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.note("Another process is extracting these features; waiting for it")
        lock.acquire()
    try:
        # again: another process may have written them while this one waited for the lock
        missing = _missing(photos, store.find([photo.sha256 for photo in photos]))
        if missing:
            _require_space(store, len(missing))
            _write_recipe(store.folder, recipe)
            _extract(store, extractor, missing, task, progress)
    finally:
        lock.release()


def _missing(photos: Sequence[Photo], rows: np.ndarray) -> list[Photo]:
    """Return the photos without a row, copies of a photo once."""
    missing = [photo for photo, row in zip(photos, rows, strict=True) if row < 0]
    return list({photo.sha256: photo for photo in missing}.values())


def _require_space(store: Store, count: int) -> None:
    needed, free = count * store.row_bytes, shutil.disk_usage(store.folder).free
    if needed > free:
        raise FullDiskError(
            "features.dir",
            store.folder,
            f"{decimal(needed)} of features do not fit in the {decimal(free)} left there",
            "features.dir=<folder on a larger disk>",
        )


def _extract(
    store: Store, extractor: Extractor, photos: list[Photo], task: _Task, progress: Progress
) -> None:
    done = 0
    with progress.track(task.title, len(photos)) as advance:
        for batch in extractor.batches(
            photos, policy=task.policy, views=task.view, seed=task.seed
        ):
            part = photos[done : done + len(batch)]
            values = narrow(batch.numpy(), extractor.dtype, part)
            store.put([photo.sha256 for photo in part], values)
            done += len(part)
            advance(len(part))
