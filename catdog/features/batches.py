"""Photos to batches of network input, with tf.data: decode, orient, augment, scale, resize."""

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
"""Part of the feature store's key. Change it with the code, and every feature is recomputed."""


def preprocessing(
    image_size: int, resize: str, scaling: tuple[float, float]
) -> list[keras.layers.Layer]:
    """Build the scaling and resizing layers between photos and backbone.

    The saved model contains the same layers. Both are float32, because Keras' Resizing rounds
    uint8 when it is called eagerly. They are called on single photos or on batches of them.

    Args:
        image_size: Side of the square result, in pixels.
        resize: ``squash`` ignores the aspect ratio; ``crop`` cuts off both ends of the longer
            side; ``pad`` adds borders of value 0 after scaling, which is mid grey, or black for
            networks that scale inside.
        scaling: (scale, offset) that map pixel values 0..255 to the backbone's input.

    Returns:
        Two layers, to be called in order: (N, height, width, 3) numbers from 0 to 255 to
        (N, image_size, image_size, 3) float32.

    >>> scaling, resizing = preprocessing(2, "squash", (1 / 127.5, -1.0))
    >>> resizing(scaling(np.full((4, 6, 3), 255, np.uint8))).shape
    TensorShape([2, 2, 3])
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
    """Read photos in parallel and batch them in the given order.

    Args:
        photos: The photos to read.
        layers: Scaling and resizing, from ``preprocessing``.
        batch_size: Photos per batch, at least 1; the last batch may be smaller.
        policy: The augmentation: ``none``, ``flip``, ``light`` or ``strong``.
        views: View number, one for all or (len(photos),) int; 0 is the photo without changes.
        seed: Seed of the augmentation.

    Returns:
        Batches of (batch, image_size, image_size, 3) float32.

    Raises:
        tensorflow.errors.OpError: while iterating, if a photo cannot be read.
    """
    table = (
        [photo.source for photo in photos],
        np.array([photo.orientation for photo in photos], np.int32),
        np.broadcast_to(np.asarray(views, np.int32), len(photos)),
        np.array([_photo_seed(photo.sha256, seed) for photo in photos], np.int32),
    )
    rotated = any(photo.orientation != 1 for photo in photos)  # checking each costs 3 % more time
    augmented = policy != "none" and bool(np.any(views))

    @tf.autograph.experimental.do_not_convert  # it would write files into the temporary folder
    def load(
        source: tf.Tensor, orientation: tf.Tensor, view: tf.Tensor, photo_seed: tf.Tensor
    ) -> tf.Tensor:
        photo = decode(tf.io.read_file(source))
        if rotated:
            photo = orient(photo, orientation)
        if augmented:
            photo = augment.apply(photo, policy, view, photo_seed)
        for layer in layers:
            photo = layer(photo)
        return photo

    data = tf.data.Dataset.from_tensor_slices(table)
    data = data.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return data.batch(batch_size).prefetch(2)


def _photo_seed(sha256: str, seed: int) -> int:
    """Return a 31-bit seed that depends on the photo's content and on no other photo."""
    digest = hashlib.blake2b(f"augment {seed} {sha256}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1
