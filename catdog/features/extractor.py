"""Run the frozen prefix on photos, and describe everything that its features depend on."""

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
"""Version of the rows; part of the feature store's key."""

SLICE = 16
"""The number of photos in every call of the prefix. It is fixed because oneDNN's last bits depend
on the batch size (1, 3, 7, 63 and 64 photos all differ): features would depend on
``features.batch_size``, and on where an interrupted extraction was continued. It is small because
activations take most of the memory."""


@dataclass(frozen=True)
class Extractor:
    """A frozen prefix with its preprocessing, and a description of both for the store's key.

    Attributes:
        prefix: Model from (N, S, S, 3) float32 to features.
        layers: Scaling and resizing, from ``batches.preprocessing``.
        facts: Backbone, weights, cut, pooling, image size and resize rule, as JSON can hold them.
        dtype: Type of stored features, ``float16`` or ``float32``.
        batch_size: Photos per batch, at least 1.
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
        """Describe everything that a stored row depends on, except the photo.

        Args:
            policy: The augmentation: ``none``, ``flip``, ``light`` or ``strong``.
            view: View number, at least 0.
            seed: Seed of the augmentation.

        Returns:
            A dictionary that JSON can hold; its hash is the feature store's key.
        """
        return {
            "format": [FORMAT, formats.VERSION],
            "decode": decode.RULE,
            "resize rule": RESIZE_RULE,
            **self.facts,
            "view": _describe_view(policy, view, seed),
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
        """Yield the features of photos in order, batch by batch.

        Args:
            photos: The photos to read.
            batch_size: Photos per batch; None takes the extractor's own.
            **options: ``policy``, ``views`` and ``seed``, as ``batches.batches`` takes them.

        Yields:
            (batch, *shape) float32.

        Raises:
            DataError: a photo cannot be read any more; the message names it.
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
                lambda photos: self.prefix(photos, training=False),
                input_signature=[spec],
                autograph=False,
            )
        compiled = self.prefix.compiled_extraction

        def compute(photos: tf.Tensor) -> tf.Tensor:
            starts = range(0, len(photos), SLICE)
            rows = [compiled(_padded(photos[i : i + SLICE])) for i in starts]
            return tf.concat(rows, 0)[: len(photos)]

        return compute


def narrow(values: np.ndarray, dtype: str, photos: Sequence[Photo]) -> np.ndarray:
    """Round float32 features to the dtype of the feature store.

    Args:
        values: (n, *shape) float32.
        dtype: ``float16`` or ``float32``.
        photos: The photos of the first n rows, for error messages.

    Returns:
        (n, *shape) of ``dtype``.

    Raises:
        ConfigError: a feature is too large for ``dtype``, or not a finite number; the message
            names the first such photo.

    >>> narrow(np.array([[0.1]], np.float32), "float16", []).tolist()
    [[0.0999755859375]]
    """
    with np.errstate(over="ignore"):
        rounded = values.astype(dtype)
    good = np.isfinite(rounded).reshape(len(rounded), -1).all(axis=1)
    if not good.all():
        first = int(np.argmin(good))
        raise _cannot_store(values[first], dtype, photos[first])
    return rounded


def _cannot_store(values: np.ndarray, dtype: str, photo: Photo) -> ConfigError:
    if not np.isfinite(values).all():
        return ConfigError(
            "backbone.weights", "...",
            f"they make features of {photo.path} that are not finite numbers",
            "backbone.weights=imagenet",
        )  # fmt: skip
    return ConfigError(
        "features.dtype",
        dtype,
        f"the features of {photo.path} reach {np.abs(values).max():.3g}, more than it can hold",
        "features.dtype=float32",
    )


def _describe_view(policy: str, view: int, seed: int) -> Any:
    """Describe a view so that equal pictures share a row: view 0 of every policy is the photo."""
    if view == 0:
        return "clean"
    return "mirrored" if policy == "flip" else [policy, view, seed]


def _padded(photos: tf.Tensor) -> tf.Tensor:
    """Fill a slice up to ``SLICE`` photos with zeros."""
    missing = SLICE - len(photos)
    return tf.pad(photos, [[0, missing], [0, 0], [0, 0], [0, 0]]) if missing else photos


def _unreadable(photos: Sequence[Photo], error: tf.errors.OpError) -> Exception:
    """Return an error that names the unreadable photo of a batch, or the error itself."""
    for photo in photos:
        try:
            decode.decode(tf.io.read_file(photo.source))
        except tf.errors.OpError as reason:
            return DataError(
                photo.source,
                f"was removed or changed since it was checked ({reason.message.splitlines()[0]})",
                "Run again: changed photos are checked again. If it fails again, remove the photo",
            )
    return error
