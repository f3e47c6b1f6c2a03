"""Augmentation by views: view ``k`` of a photo is always the same picture.

All random numbers are stateless: they depend only on the photo's own seed and the view number. So
a view can be stored and recomputed, in any order and on any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Strength:
    """Limits of a policy's random changes.

    Attributes:
        min_area: Smallest crop, as a fraction of the photo's area, in (0, 1].
        brightness: Largest shift of pixel values scaled to 0..1.
        contrast: The contrast factor is drawn from ``1 - contrast`` to ``1 + contrast``.
        saturation: The saturation factor is drawn from ``1 - saturation`` to ``1 + saturation``.
        hue: Largest shift of the hue, as a fraction of the colour circle, in [0, 0.5].
        erase: Largest erased patch, as a fraction of the crop's area, in [0, 1).
    """

    min_area: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    erase: float


POLICIES = {
    "light": Strength(0.8, brightness=0.1, contrast=0.1, saturation=0.1, hue=0.0, erase=0.0),
    "strong": Strength(0.4, brightness=0.25, contrast=0.3, saturation=0.4, hue=0.04, erase=0.25),
}


def apply(photo: tf.Tensor, policy: str, view: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Compute one view of a photo.

    ``flip`` mirrors odd views. ``light`` and ``strong`` take a random crop with an aspect ratio of
    3/4 to 4/3 [1], mirror half of the views and change brightness, contrast and saturation.
    ``strong`` also changes the hue and erases a patch [2].

    Args:
        photo: (height, width, 3) uint8.
        policy: ``flip``, ``light`` or ``strong``.
        view: Scalar int, at least 0; view 0 is the photo itself.
        seed: Scalar int32, the photo's own seed.

    Returns:
        (height', width', 3) uint8; smaller than the photo where it is cropped.

    References:
        [1] Szegedy et al. 2015, "Going deeper with convolutions", https://arxiv.org/abs/1409.4842
        [2] Zhong et al. 2020, "Random erasing data augmentation",
        https://arxiv.org/abs/1708.04896

    >>> photo = tf.reshape(tf.range(6, dtype=tf.int32), (1, 2, 3))
    >>> apply(tf.cast(photo, tf.uint8), "flip", tf.constant(1), tf.constant(0)).numpy().tolist()
    [[[3, 4, 5], [0, 1, 2]]]
    """
    if policy == "flip":
        mirrored = tf.cond(view % 2 == 1, lambda: tf.image.flip_left_right(photo), lambda: photo)
        return tf.ensure_shape(mirrored, (None, None, 3))
    strength = POLICIES[policy]
    changed = tf.cond(view > 0, lambda: _distort(photo, strength, view, seed), lambda: photo)
    return tf.ensure_shape(changed, (None, None, 3))


def _distort(photo: tf.Tensor, strength: Strength, view: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    seeds = iter(tf.unstack(_seeds(view, seed, 8), axis=0))
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(photo),
        tf.zeros((1, 0, 4)),
        seed=next(seeds),
        area_range=(strength.min_area, 1.0),
        aspect_ratio_range=(3 / 4, 4 / 3),
        use_image_if_no_bounding_boxes=True,
    )
    photo = tf.image.stateless_random_flip_left_right(tf.slice(photo, begin, size), next(seeds))
    photo = tf.cast(photo, tf.float32) / 255.0
    photo = tf.image.stateless_random_brightness(photo, strength.brightness, next(seeds))
    contrast, saturation = strength.contrast, strength.saturation
    photo = tf.image.stateless_random_contrast(photo, 1 - contrast, 1 + contrast, next(seeds))
    photo = tf.image.stateless_random_saturation(
        photo, 1 - saturation, 1 + saturation, next(seeds)
    )
    if strength.hue:
        photo = tf.image.stateless_random_hue(photo, strength.hue, next(seeds))
    if strength.erase:
        photo = _erase(photo, strength.erase, next(seeds))
    return tf.saturate_cast(tf.round(photo * 255.0), tf.uint8)


def _seeds(view: tf.Tensor, seed: tf.Tensor, count: int) -> tf.Tensor:
    start = tf.stack([tf.cast(seed, tf.int32), tf.cast(view, tf.int32)])
    return tf.random.stateless_uniform((count, 2), start, minval=None, maxval=None, dtype=tf.int32)


def _erase(photo: tf.Tensor, max_area: float, seed: tf.Tensor) -> tf.Tensor:
    """Fill a box with grey; its sides are at most ``max_area ** 0.5`` of the photo's."""
    drawn = tf.random.stateless_uniform((4,), seed)
    shape = tf.shape(photo)[:2]
    extent = tf.cast(shape, tf.float32)
    half = drawn[:2] * max_area**0.5 * extent / 2
    centre = drawn[2:] * extent
    rows = tf.abs(tf.range(extent[0]) - centre[0]) < half[0]
    columns = tf.abs(tf.range(extent[1]) - centre[1]) < half[1]
    inside = rows[:, None, None] & columns[None, :, None]
    return tf.where(inside, 0.5, photo)
