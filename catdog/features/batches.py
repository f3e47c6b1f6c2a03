"""Photos to batches: decode, orient, augment, scale, resize. The only room that knows tf.data."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from catdog.data.manifest import Photo
from catdog.features import augment
from catdog.features.decode import decode, orient

RESIZE_RULE = "scaled, then bilinear without antialias, float32"
"""What the feature store's key says of this room; a change here changes every stored feature."""


def preprocessing(
    image_size: int, resize: str, scaling: tuple[float, float]
) -> list[keras.layers.Layer]:
    """Build the layers from uint8 photos to the backbone's input; the saved model has the same.

    Both are float32: Keras' Resizing rounds uint8 when called eagerly. ``pad`` fills
    with 0 after scaling: mid grey, or black for networks that scale inside.

    Args:
        image_size: Side of the square result, in pixels.
        resize: ``squash`` ignores the aspect ratio, ``crop`` cuts the long side, ``pad`` fills.
        scaling: (scale, offset) of the backbone's input.
    """
    scale, offset = scaling
    return [
        keras.layers.Rescaling(scale, offset, dtype="float32", name="scaling"),
        keras.layers.Resizing(
            image_size,
            image_size,
            interpolation="bilinear",
            crop_to_aspect_ratio=resize == "crop",
            pad_to_aspect_ratio=resize == "pad",
            dtype="float32",
            name="resizing",
        ),
    ]


def batches(
    photos: Sequence[Photo],
    layers: Sequence[keras.layers.Layer],
    *,
    batch_size: int,
    policy: str = "none",
    views: int | np.ndarray = 0,
    seed: int = 0,
) -> tf.data.Dataset:
    """Read photos in order and in parallel.

    Args:
        photos: What to read.
        layers: From ``preprocessing``.
        batch_size: Photos per batch; the last may be smaller.
        policy: The augmentation, a name of the ``augment`` group.
        views: View number, one for all or (len(photos),); 0 is the clean photo.
        seed: Seed of the augmentation.

    Returns:
        Batches of (batch, image_size, image_size, 3) float32.
    """
    table = (
        [photo.source for photo in photos],
        np.array([photo.orientation for photo in photos], np.int32),
        np.broadcast_to(np.asarray(views, np.int32), len(photos)),
        np.array([_photo_seed(photo.sha256, seed) for photo in photos], np.int32),
    )
    turned = any(photo.orientation != 1 for photo in photos)  # to turn none costs 3 % of the time
    augmented = policy != "none" and bool(np.any(views))

    def load(source: tf.Tensor, turn: tf.Tensor, view: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
        photo = decode(tf.io.read_file(source))
        if turned:
            photo = orient(photo, turn)
        if augmented:
            photo = augment.apply(photo, policy, view, own)
        for layer in layers:
            photo = layer(photo)
        return photo

    data = tf.data.Dataset.from_tensor_slices(table)
    data = data.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return data.batch(batch_size).prefetch(2)


def _photo_seed(sha256: str, seed: int) -> int:
    """Return 31 bits of its own for a photo, so that its views do not depend on its neighbours."""
    digest = hashlib.blake2b(f"augment {seed} {sha256}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1
