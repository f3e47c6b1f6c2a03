"""The feature store: what a frozen prefix makes of a photo is computed once.

A recipe holds everything but the photo that a stored row depends on; its hash names the store,
and a row is found by the photo's content. So any run, trial or sweep that asks for the same
rows shares them, however its photos are split and wherever they lie.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from filelock import Timeout

from catdog import decode, formats, in_use, pipeline
from catdog.errors import ConfigError, DataError
from catdog.manifest import Photo
from catdog.origin import ARITHMETIC
from catdog.photos import write_atomically
from catdog.progress import Progress
from catdog.store import Store

FORMAT = 1
SLICE = 16
"""Photos that pass the prefix at once, never more or fewer. Its activations are most of the
memory, and oneDNN's last bits depend on the batch's size (1, 3, 7, 63 and 64 photos all differ),
so that a row would depend on the batch size, and on where an interrupted extraction went on."""


@dataclass(frozen=True)
class Extractor:
    """A frozen prefix with its preprocessing, and the facts that its rows depend on.

    Attributes:
        prefix: (N, S, S, 3) float32 to features.
        layers: From ``pipeline.preprocessing``.
        facts: JSON-able description of backbone, weights, cut, pooling, size and resize rule.
        dtype: The store's, ``float16`` or ``float32``.
        batch_size: Photos per batch.
    """

    prefix: keras.Model
    layers: Sequence[keras.layers.Layer]
    facts: dict[str, Any]
    dtype: str
    batch_size: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one photo's features."""
        return tuple(self.prefix.output_shape[1:])

    def recipe(self, policy: str, view: int, seed: int) -> dict[str, Any]:
        """Return all that a stored row depends on, but the photo."""
        return {
            "format": [FORMAT, formats.VERSION],
            "decode": decode.RULE,
            "resize rule": pipeline.RESIZE_RULE,
            **self.facts,
            "view": _view(policy, view, seed),
            "dtype": self.dtype,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "arithmetic": {
                name: value
                for name, value in sorted(os.environ.items())
                if name.startswith(ARITHMETIC) and "VERBOSE" not in name
            },
        }

    def batches(
        self, photos: Sequence[Photo], *, batch_size: int | None = None, **options: Any
    ) -> Iterable[tf.Tensor]:
        """Yield the features of photos, batch by batch; ``options`` go to the pipeline.

        Raises:
            DataError: names the photo that cannot be read any more.
        """
        size, compute, done = batch_size or self.batch_size, self._compute(), 0
        try:
            for batch in pipeline.batches(photos, self.layers, batch_size=size, **options):
                yield compute(batch)
                done += size
        except tf.errors.OpError as error:
            raise _unreadable(photos[done : done + size], error) from None

    def _compute(self) -> Callable[[tf.Tensor], tf.Tensor]:
        if not hasattr(self.prefix, "compiled_extraction"):
            spec = tf.TensorSpec((SLICE, *self.prefix.input_shape[1:]), tf.float32)
            self.prefix.compiled_extraction = tf.function(
                lambda photos: self.prefix(photos, training=False), input_signature=[spec]
            )
        compiled = self.prefix.compiled_extraction

        def compute(photos: tf.Tensor) -> tf.Tensor:
            starts = range(0, len(photos), SLICE)
            rows = [compiled(_filled(photos[i : i + SLICE])) for i in starts]
            return tf.concat(rows, 0)[: len(photos)]

        return compute


def _filled(photos: tf.Tensor) -> tf.Tensor:
    """Add black photos up to a whole slice."""
    lack = SLICE - len(photos)
    return tf.pad(photos, [[0, lack], [0, 0], [0, 0], [0, 0]]) if lack else photos


def _view(policy: str, view: int, seed: int) -> Any:
    """Describe a view so that equal pictures share a row: every policy's view 0 is the photo."""
    if view == 0:
        return "clean"
    return "mirrored" if policy == "flip" else [policy, view, seed]


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
    while not in_use.hold(folder):  # it was being removed
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


def _unreadable(photos: Sequence[Photo], error: tf.errors.OpError) -> Exception:
    """Find the photo of a batch that made it fail."""
    for photo in photos:
        try:
            decode.decode(tf.io.read_file(photo.source))
        except tf.errors.OpError as reason:
            return DataError(
                photo.source,
                f"went away or changed since it was checked ({reason.message.splitlines()[0]})",
                "Run again: a changed photo is checked again; one that stays so, move away",
            )
    return error


def narrow(values: np.ndarray, dtype: str, photos: Sequence[Photo]) -> np.ndarray:
    """Round float32 features to the store's dtype.

    Raises:
        ConfigError: names the first photo whose features it cannot hold.
    """
    with np.errstate(over="ignore"):
        rounded = values.astype(dtype)
    good = np.isfinite(rounded).reshape(len(rounded), -1).all(axis=1)
    if not good.all():
        first = int(np.argmin(good))
        if not np.isfinite(values[first]).all():
            raise ConfigError(
                "backbone.weights", "...",
                f"they make features of {photos[first].path} that are no finite numbers",
                "backbone.weights=imagenet",
            )  # fmt: skip
        largest = np.abs(values[first]).max()
        raise ConfigError(
            "features.dtype",
            dtype,
            f"the features of {photos[first].path} reach {largest:.3g}, more than it can hold",
            "features.dtype=float32",
        )
    return rounded


def _require_space(store: Store, count: int) -> None:
    needed, free = count * store.row_bytes, shutil.disk_usage(store.folder).free
    if needed > free:
        raise ConfigError(
            "features.dir",
            store.folder,
            f"{needed / 1e9:.1f} GB of features do not fit in the {free / 1e9:.1f} GB left there",
            "features.dir=<folder on a larger disk>",
        )
