"""Feeds: how features reach the training loop.

``Resident`` keeps all of them in memory, ``Streamed`` reads them from the feature store's memory
map, and ``Live`` computes them from the photos in every epoch (``features.mode=stream``). All
three yield chunks: a tensor of features and the order in which the loop takes its rows, so that
one compiled loop serves them all. The order is drawn from the caller's NumPy generator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from catdog.data.manifest import Photo
from catdog.features.extraction import FeatureSet
from catdog.features.extractor import Extractor, narrow
from catdog.features.store import BLOCK_BYTES

BLOCK_ROWS = 256
"""``Streamed`` reads blocks of this many neighbouring rows, in shuffled order."""


class Chunk(NamedTuple):
    """Part of an epoch.

    Attributes:
        features: (m, *shape) of the feature store's dtype.
        labels: (m,) int32 class indices.
        order: (k,) int32 row numbers of ``features``, in the order of training.
    """

    features: tf.Tensor
    labels: tf.Tensor
    order: np.ndarray


class Feed(Protocol):
    """The features of one split, as the training loop needs them.

    Attributes:
        photos: Number of photos.
        views: Views per photo, at least 1.
        shape: Shape of one photo's features.
    """

    photos: int
    views: int
    shape: tuple[int, ...]

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[Chunk]:
        """Yield each photo once, in shuffled order and in a randomly drawn view.

        Args:
            rng: Draws order and views.
            batch_size: Rows per training step; all chunks but the last hold a multiple of it.
        """
        ...

    def ordered(self) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """Yield all views of all photos in order: (views, m, *shape) features, (m,) labels."""
        ...


class Resident:
    """Features held in one tensor in memory; an epoch is one chunk.

    Args:
        features: The stored rows; all views are loaded.
    """

    def __init__(self, features: FeatureSet) -> None:
        self.photos, self.views = len(features.labels), len(features.views)
        self.shape = features.shape
        # filled in place, because tf.constant needs three times the array's memory meanwhile
        first = features.views[0][0]
        total, size = self.views * self.photos, max(1, BLOCK_BYTES // first.row_bytes)
        tensor = tf.raw_ops.Empty(shape=(total, *self.shape), dtype=first.dtype.name)
        for view, (store, rows) in enumerate(features.views):
            for start in range(0, self.photos, size):
                values = store.read(rows[start : start + size])
                places = view * self.photos + start + np.arange(len(values), dtype=np.int32)
                tensor = tf.raw_ops.InplaceUpdate(x=tensor, i=places, v=values)
        self._features = tensor
        self._labels = tf.constant(np.tile(features.labels, self.views))

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[Chunk]:
        """Yield one chunk with all views of all photos."""
        order, views = _draw(rng, self.photos, self.views)
        order = views[order] * self.photos + order
        yield Chunk(self._features, self._labels, order.astype(np.int32))

    def ordered(self) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """Yield all photos at once."""
        shape = (self.views, self.photos, *self.shape)
        yield tf.reshape(self._features, shape), self._labels[: self.photos]


class Streamed:
    """Features read from the memory map in chunks, so that memory does not grow with the photos.

    Args:
        features: The stored rows.
        ram_bytes: Memory for the chunks. One chunk takes a sixteenth of it: up to three are in
            memory at a time, one in NumPy and two in TensorFlow, and the rest is a reserve.
    """

    def __init__(self, features: FeatureSet, ram_bytes: int) -> None:
        self._set = features
        self.photos, self.views = len(features.labels), len(features.views)
        self.shape = features.shape
        self._budget = max(1, ram_bytes // 16 // features.views[0][0].row_bytes)

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[Chunk]:
        """Yield chunks of whole batches, each made of blocks from all parts of the split."""
        _, views = _draw(rng, self.photos, self.views)
        size = max(batch_size, self._budget // batch_size * batch_size)
        step = max(1, min(BLOCK_ROWS, size // 8))
        blocks = [np.arange(b, min(b + step, self.photos)) for b in range(0, self.photos, step)]
        photos = np.concatenate([blocks[i] for i in rng.permutation(len(blocks))])
        for start in range(0, self.photos, size):
            chosen = photos[start : start + size]
            features = np.empty((len(chosen), *self.shape), self._set.views[0][0].dtype)
            for view, (store, rows) in enumerate(self._set.views):
                places = np.flatnonzero(views[chosen] == view)
                features[places] = store.read(rows[chosen[places]])
            order = rng.permutation(len(chosen)).astype(np.int32)
            labels = tf.constant(self._set.labels[chosen])
            yield Chunk(tf.constant(features), labels, order)

    def ordered(self) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """Yield consecutive chunks."""
        size = max(1, self._budget // self.views)
        for start in range(0, self.photos, size):
            part = slice(start, start + size)
            values = np.stack([store.read(rows[part]) for store, rows in self._set.views])
            yield tf.constant(values), tf.constant(self._set.labels[part])


class Live:
    """Features computed from the photos in every epoch, without the feature store.

    Args:
        extractor: Computes the features, which are rounded as in the feature store.
        photos: The photos of the split.
        policy: The augmentation of ``epoch``, with new views in every epoch: ``none``, ``flip``,
            ``light`` or ``strong``.
        seed: Seed of the augmentation.
        views: Views that ``ordered`` yields: 1, or 2 for the mirrored photos too.
    """

    def __init__(
        self,
        extractor: Extractor,
        photos: Sequence[Photo],
        *,
        policy: str = "none",
        seed: int = 0,
        views: int = 1,
    ) -> None:
        self._extractor, self._photos = extractor, list(photos)
        self._policy, self._seed = policy, seed
        self.photos, self.views, self.shape = len(self._photos), views, extractor.shape

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[Chunk]:
        """Yield one chunk per batch of photos."""
        order = rng.permutation(self.photos)
        # flip has two views; the other policies have as many as there are numbers
        high = 2 if self._policy == "flip" else 2**30
        views = np.zeros(self.photos, np.int64)
        if self._policy != "none":
            views = rng.integers(0, high, self.photos)
        for features, labels in self._batches(order, batch_size, self._policy, views[order]):
            yield Chunk(features, labels, np.arange(len(labels), dtype=np.int32))

    def ordered(self) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """Yield batches of the photos, with the mirrored photos as second view."""
        size, everything = self._extractor.batch_size, np.arange(self.photos)
        views = [self._batches(everything, size, "flip", view) for view in range(self.views)]
        for batches in zip(*views, strict=True):
            yield tf.stack([features for features, _ in batches]), batches[0][1]

    def _batches(
        self, order: np.ndarray, size: int, policy: str, views: int | np.ndarray
    ) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        photos = [self._photos[i] for i in order]
        labels = np.array([photo.label for photo in photos], np.int32)
        batches = self._extractor.batches(
            photos, batch_size=size, policy=policy, views=views, seed=self._seed
        )
        for i, features in enumerate(batches):
            part = labels[i * size : (i + 1) * size]
            values = narrow(features.numpy(), self._extractor.dtype, photos[i * size :])
            yield tf.constant(values), tf.constant(part)


def _draw(rng: np.random.Generator, photos: int, views: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw an order of the photos and a view for each, both (photos,) int64."""
    order = rng.permutation(photos)
    return order, rng.integers(0, views, photos) if views > 1 else np.zeros(photos, np.int64)
