"""Decode photos, in the same way for training, prediction and serving.

Imports nothing of catdog: a copy of this file is part of every logged model.
"""

from __future__ import annotations

import tensorflow as tf

RULE = "jpeg INTEGER_ACCURATE, others decode_image, EXIF applied"
"""Part of the feature store's key. Change it with the code, and every feature is recomputed."""


def decode(data: tf.Tensor) -> tf.Tensor:
    """Decode an encoded photo.

    Args:
        data: Scalar string with the bytes of a JPEG, PNG, BMP, WEBP or GIF (its first frame).

    Returns:
        (height, width, 3) uint8. Pixels of a JPEG equal Pillow's, which TensorFlow's default DCT
        would not give.

    Raises:
        tensorflow.errors.InvalidArgumentError: the bytes are no complete photo.

    >>> png = tf.io.encode_png(tf.constant([[[1, 2, 3], [4, 5, 6]]], tf.uint8))
    >>> decode(png).numpy().tolist()
    [[[1, 2, 3], [4, 5, 6]]]
    """
    photo = tf.cond(
        tf.strings.substr(data, 0, 3) == b"\xff\xd8\xff",
        lambda: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(data, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(photo, (None, None, 3))


def orient(photo: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Rotate and mirror a photo as its EXIF orientation says, like Pillow's ``exif_transpose``.

    Args:
        photo: (height, width, 3), any dtype.
        orientation: Scalar int, 1 to 8; 1 leaves the photo as it is.

    Returns:
        (height, width, 3), or (width, height, 3) for orientations 5 to 8.

    >>> orient(tf.zeros((2, 5, 3)), tf.constant(6)).shape
    TensorShape([5, 2, 3])
    """
    transpose = tf.image.transpose
    mirror, flip = tf.image.flip_left_right, tf.image.flip_up_down
    turned = tf.switch_case(
        tf.cast(orientation, tf.int32) - 1,
        [
            lambda: photo,
            lambda: mirror(photo),
            lambda: mirror(flip(photo)),
            lambda: flip(photo),
            lambda: transpose(photo),
            lambda: mirror(transpose(photo)),
            lambda: mirror(flip(transpose(photo))),
            lambda: flip(transpose(photo)),
        ],
    )
    return tf.ensure_shape(turned, (None, None, 3))
