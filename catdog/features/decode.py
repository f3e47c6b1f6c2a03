"""The one function that decodes photos: for training, predicting and serving.

Imports nothing of catdog: this file travels inside the logged model.
"""

from __future__ import annotations

import tensorflow as tf

RULE = "jpeg INTEGER_ACCURATE, others decode_image, EXIF applied"
"""What the feature store's key says of this room; a change here changes every stored feature."""


def decode(data: tf.Tensor) -> tf.Tensor:
    """Decode an encoded photo.

    Args:
        data: Scalar string with the bytes of a JPEG, PNG, BMP, WEBP or GIF (its first frame).

    Returns:
        (height, width, 3) uint8, for JPEG equal to Pillow's (TensorFlow's default DCT is not).
    """
    photo = tf.cond(
        tf.strings.substr(data, 0, 3) == b"\xff\xd8\xff",
        lambda: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(data, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(photo, (None, None, 3))


def orient(photo: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turn a photo as its EXIF orientation (1 to 8) asks, like Pillow's exif_transpose.

    Args:
        photo: (height, width, 3).
        orientation: Scalar int.
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
