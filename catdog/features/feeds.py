"""How an epoch's features reach the loop: from memory, from disk, or straight off the photos.

All three yield chunks, a tensor of features with the order in which the loop takes its rows, so
that one compiled loop serves them all. The order comes from the caller's NumPy generator.
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
"""Streaming reads this many neighbouring rows at once; the blocks themselves are shuffled."""


class Chunk(NamedTuple):
    """Part of an epoch.

    Attributes:
        features: (m, *shape) of the store's dtype.
        labels: (m,) int32.
        order: (k,) int32 rows of ``features`` in the order of training.
    """

    features: tf.Tensor
    labels: tf.Tensor
    order: np.ndarray


class Feed(Protocol):
    """Photos of one split, as the loop sees them."""

    photos: int
    views: int
    shape: tuple[int, ...]

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[Chunk]:
        """Yield each photo once, in one drawn view, shuffled."""
        ...

    def ordered(self) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """Yield ((views, m, *shape) features, (m,) labels) of all photos in order."""
        ...


class Resident:
    """All views of all photos in one tensor; an epoch is one chunk."""

    def __init__(self, features: FeatureSet) -> None:
        self.photos, self.views = len(features.labels), len(features.views)
        self.shape = features.shape
        # filled in place: tf.constant of an array takes three times the array while it runs
        first = features.views[0][0]
        total, size = self.views * self.photos, max(1, BLOCK_BYTES // first.row_bytes)
        held = tf.raw_ops.Empty(shape=(total, *self.shape), dtype=first.dtype.name)
        for view, (store, rows) in enumerate(features.views):
            for start in range(0, self.photos, size):
                values = store.read(rows[start : start + size])
                places = view * self.photos + start + np.arange(len(values), dtype=np.int32)
                held = tf.raw_ops.InplaceUpdate(x=held, i=places, v=values)
        self._features = held
        self._labels = tf.constant(np.tile(features.labels, self.views))

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[Chunk]:
        """Yield one chunk."""
        order, views = _draw(rng, self.photos, self.views)
        order = views[order] * self.photos + order
        yield Chunk(self._features, self._labels, order.astype(np.int32))

    def ordered(self) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """Yield everything at once."""
        shape = (self.views, self.photos, *self.shape)
        yield tf.reshape(self._features, shape), self._labels[: self.photos]


class Streamed:
    """Blocks of rows from the memory map, a few MiB at a time, whatever the number of photos.

    Args:
        features: The stored rows.
        ram_bytes: What the chunks in flight may take: one in NumPy, two in TensorFlow, and slack.
    """

    def __init__(self, features: FeatureSet, ram_bytes: int) -> None:
        self._set = features
        self.photos, self.views = len(features.labels), len(features.views)
        self.shape = features.shape
        self._budget = max(1, ram_bytes // 16 // features.views[0][0].row_bytes)

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[Chunk]:
        """Yield chunks of whole batches, of blocks drawn from all over the split."""
        _, views = _draw(rng, self.photos, self.views)
        size = max(batch_size, self._budget // batch_size * batch_size)
        step = max(1, min(BLOCK_ROWS, size // 8))
        blocks = [np.arange(b, min(b + step, self.photos)) for b in range(0, self.photos, step)]
        photos = np.concatenate([blocks[i] for i in rng.permutation(len(blocks))])
        for start in range(0, self.photos, size):
            chosen = photos[start : start + size]
            features = np.empty((len(chosen), *self.shape), self._set.views[0][0].dtype)
            for view, (store, rows) in enumerate(self._set.views):
                mine = np.flatnonzero(views[chosen] == view)
                features[mine] = store.read(rows[chosen[mine]])
            order = rng.permutation(len(chosen)).astype(np.int32)
            labels = tf.constant(self._set.labels[chosen])
            yield Chunk(tf.constant(features), labels, order)

    def ordered(self) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """Yield consecutive chunks."""
        size = max(1, self._budget // self.views)
        for start in range(0, self.photos, size):
            part = slice(start, start + size)
            held = np.stack([store.read(rows[part]) for store, rows in self._set.views])
            yield tf.constant(held), tf.constant(self._set.labels[part])


class Live:
    """No store: every epoch decodes the photos and runs the prefix, the classical way.

    Args:
        extractor: The prefix; its features are rounded as the store would.
        photos: Which ones.
        policy: Name of the augmentation, drawn afresh every epoch.
        seed: Seed of the augmentation.
        views: For ``ordered``: 2 adds the mirror image (test-time flip).
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
        # a mirror image is one of two; other policies draw a picture never seen before
        high = 2 if self._policy == "flip" else 2**30
        views = np.zeros(self.photos, np.int64)
        if self._policy != "none":
            views = rng.integers(0, high, self.photos)
        for features, labels in self._batches(order, batch_size, self._policy, views[order]):
            yield Chunk(features, labels, np.arange(len(labels), dtype=np.int32))

    def ordered(self) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """Yield batches of the clean photos, and of their mirror images."""
        size, everything = self._extractor.batch_size, np.arange(self.photos)
        views = [self._batches(everything, size, "flip", view) for view in range(self.views)]
        for batches in zip(*views, strict=True):
            yield tf.stack([features for features, _ in batches]), batches[0][1]

    def _batches(
        self, order: np.ndarray, size: int, policy: str, views: int | np.ndarray
    ) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        some = [self._photos[i] for i in order]
        labels = np.array([photo.label for photo in some], np.int32)
        batches = self._extractor.batches(
            some, batch_size=size, policy=policy, views=views, seed=self._seed
        )
        for i, features in enumerate(batches):
            part = labels[i * size : (i + 1) * size]
            values = narrow(features.numpy(), self._extractor.dtype, some[i * size :])
            yield tf.constant(values), tf.constant(part)


def _draw(rng: np.random.Generator, photos: int, views: int) -> tuple[np.ndarray, np.ndarray]:
    order = rng.permutation(photos)
    return order, rng.integers(0, views, photos) if views > 1 else np.zeros(photos, np.int64)
