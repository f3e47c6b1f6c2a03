"""Stored features, and extractors that count what they compute."""

import os
import time

import keras
import numpy as np

from catdog.features import batches, extraction
from catdog.features.extraction import FeatureSet
from catdog.features.extractor import Extractor
from catdog.features.store import Store
from catdog.models import backbone
from catdog.progress import Progress
from helpers.networks import build
from helpers.photos import drawn

FACTS = {
    "backbone": "tiny", "weights": "0123", "cut": None, "pooling": "avg", "image_size": 16,
    "resize": "squash",
}  # fmt: skip


COUNT = 60


class Counting(Extractor):
    """Remembers how many photos went through the prefix."""

    def _compute(self):
        compute = super()._compute()

        def counted(batch):
            self.facts["computed"].append(len(batch))
            return compute(batch)

        return counted

    def recipe(self, *view):
        return {k: v for k, v in super().recipe(*view).items() if k not in ("computed", "slow")}

    @property
    def computed(self):
        return sum(self.facts["computed"])


def tiny(*, dtype="float16", batch_size=4, gain=1.0, **facts):
    """Return an extractor with a prefix of one convolution."""
    start = keras.initializers.GlorotUniform(seed=1)
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(5, 3, activation="relu", kernel_initializer=start)(inputs)
    x = keras.layers.Rescaling(gain)(keras.layers.GlobalAveragePooling2D()(x))
    return Counting(
        keras.Model(inputs, x),
        batches.preprocessing(16, "squash", backbone.SYMMETRIC),
        {**FACTS, "computed": [], **facts},
        dtype,
        batch_size,
    )


def ensure(root, extractor, photos, **options):
    return extraction.ensure(root, extractor, photos, progress=Progress(), **options)


def values(held, view=0):
    store, rows = held.views[view]
    return store.read(rows)


def many(root):
    """Draw the same photos in every process."""
    folder = root / f"photos of {os.getpid()}"
    folder.mkdir()
    return drawn(folder, [(20, 20 + i) for i in range(COUNT)])


class Slow(Counting):
    def _compute(self):
        compute = super()._compute()

        def slowly(batch):
            time.sleep(0.05)
            return compute(batch)

        return slowly


def slow():
    built = build(image_size=32)
    facts = {**FACTS, "weights": built.weights_hash}
    layers = batches.preprocessing(16, "squash", built.scaling)
    return Slow(tiny().prefix, layers, {**facts, "computed": []}, "float32", 3)


def stored(folder, rows, labels):
    """Write (views, n, *shape) rows to a store, as ``extraction.ensure`` does."""
    rows, views = np.asarray(rows), []
    hashes = [f"{i:064x}" for i in range(rows.shape[1])]
    for view, own in enumerate(rows):
        store = Store(folder / str(view), own.shape[1:], own.dtype.name)
        with store.lock():
            store.put(hashes, own)
        views.append((store, store.find(hashes)))
    return FeatureSet(tuple(views), np.asarray(labels, np.int32))


def part(store, n, views):
    held = tuple((rows, found[:n]) for rows, found in store.views[:views])
    return FeatureSet(held, store.labels[:n])
