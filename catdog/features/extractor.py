"""A frozen prefix as a function from photos to rows, and the recipe that names what it makes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from catdog.core.provenance import ARITHMETIC
from catdog.data import formats
from catdog.data.manifest import Photo
from catdog.errors import ConfigError, DataError
from catdog.features import decode
from catdog.features.batches import RESIZE_RULE, batches

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
            "resize rule": RESIZE_RULE,
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
            for batch in batches(photos, self.layers, batch_size=size, **options):
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
