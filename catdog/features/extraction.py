"""The feature store: what a frozen prefix makes of a photo is computed once.

A recipe holds everything but the photo that a stored row depends on; its hash names the store,
and a row is found by the photo's content. So any run, trial or sweep that asks for the same
rows shares them, however its photos are split and wherever they lie.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import Timeout

from catdog.core import use_locks
from catdog.core.files import write_atomically
from catdog.data.manifest import Photo
from catdog.errors import ConfigError, DataError
from catdog.features.extractor import Extractor, narrow
from catdog.features.store import Store
from catdog.progress import Progress


@dataclass(frozen=True)
class FeatureSet:
    """Stored features of some photos.

    Attributes:
        views: (store, (n,) int64 rows) for each view.
        labels: (n,) int32.
    """

    views: tuple[tuple[Store, np.ndarray], ...]
    labels: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes of all rows of all views."""
        return sum(store.row_bytes * len(rows) for store, rows in self.views)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.views[0][0].shape


@dataclass(frozen=True)
class Work:
    """One view of some photos, to be computed."""

    policy: str
    view: int
    seed: int
    split: str

    @property
    def title(self) -> str:
        """What the progress shows."""
        view = f", view {self.view}" if self.view else ""
        return f"Features of {self.split or 'photos'}{view}"


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
    """Return the stored features of photos, computing what is not there.

    Args:
        root: The cache folder; stores lie in ``features/<key>`` below it.
        extractor: What computes them.
        photos: Which ones, in the order of the result.
        policy: Name of the augmentation.
        views: Views per photo; view 0 is the clean one.
        seed: Seed of the augmentation.
        progress: Hears of every batch.
        split: Name of these photos, for the progress.

    Raises:
        ConfigError: ``features.dir`` cannot hold them, or a value overflows ``features.dtype``.
        DataError: a photo changed since it was indexed.
    """
    hashes = [photo.sha256 for photo in photos]
    held = []
    for view in range(views):
        recipe = extractor.recipe(policy, view, seed)
        store = _open_store(root, recipe, extractor)
        rows = store.find(hashes)
        if (rows < 0).any():
            work = Work(policy, view, seed, split)
            _fill(store, recipe, extractor, photos, work, progress)
            rows = store.find(hashes)
        if (rows < 0).any():
            raise DataError(store.folder, "rows are damaged right after writing", "Check the disk")
        held.append((store, rows))
    return FeatureSet(tuple(held), np.array([photo.label for photo in photos], np.int32))


def key(recipe: dict[str, Any]) -> str:
    """Return the name of a recipe's store."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:20]


def _open_store(root: Path, recipe: dict[str, Any], extractor: Extractor) -> Store:
    folder = root / "features" / key(recipe)
    folder.mkdir(parents=True, exist_ok=True)
    while not use_locks.hold(folder):  # it was being removed
        folder.mkdir(parents=True, exist_ok=True)
    return Store(folder, extractor.shape, extractor.dtype)


def _fill(
    store: Store,
    recipe: dict[str, Any],
    extractor: Extractor,
    photos: Sequence[Photo],
    work: Work,
    progress: Progress,
) -> None:
    """Compute missing rows under the lock; whoever waited for it looks again first."""
    lock = store.lock()
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.note("Another process is extracting these features; waiting for it")
        lock.acquire()
    try:
        rows = store.find([photo.sha256 for photo in photos])
        todo = _missing(photos, rows)
        if not todo:
            return
        _require_space(store, len(todo))
        text = json.dumps(recipe, indent=2, sort_keys=True)
        write_atomically(store.folder / "recipe.json", text.encode())
        with progress.track(work.title, len(todo)) as advance:
            done = 0
            for batch in extractor.batches(
                todo, policy=work.policy, views=work.view, seed=work.seed
            ):
                some = todo[done : done + len(batch)]
                store.put([p.sha256 for p in some], narrow(batch.numpy(), extractor.dtype, some))
                done += len(some)
                advance(len(some))
    finally:
        lock.release()


def _missing(photos: Sequence[Photo], rows: np.ndarray) -> list[Photo]:
    lacking = [photo for photo, row in zip(photos, rows, strict=True) if row < 0]
    return list({photo.sha256: photo for photo in lacking}.values())


def _require_space(store: Store, count: int) -> None:
    needed, free = count * store.row_bytes, shutil.disk_usage(store.folder).free
    if needed > free:
        raise ConfigError(
            "features.dir",
            store.folder,
            f"{needed / 1e9:.1f} GB of features do not fit in the {free / 1e9:.1f} GB left there",
            "features.dir=<folder on a larger disk>",
        )
