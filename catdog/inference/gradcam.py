"""Grad-CAM heat maps, drawn over the photos: which places a prediction depends on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from catdog.core.files import write_atomically
from catdog.data.manifest import Photo
from catdog.errors import DataError
from catdog.features import batches
from catdog.features.extractor import SLICE
from catdog.inference.classifier import Classifier
from catdog.plots import montage

SIDE = 512
"""Longer side of a written picture, in pixels."""

OPACITY = 0.65
"""Opacity of the colour where the heat is 1; where it is 0, the photo is unchanged."""

HEAT = ((40, 11, 84), (120, 28, 109), (197, 58, 84), (240, 112, 32), (252, 200, 60))
"""Colours from heat 0 to 1: violet, purple, red, orange, yellow, each brighter than the last."""


class Overlays:
    """Writes a JPEG with the heat map of each photo's predicted class.

    Files are named ``<number>-<photo>-<class>-<probability>.jpg``, numbered from 1.

    Args:
        folder: The folder of the files; made if it is missing.
        model: The model to explain.

    Raises:
        DataError: the model has no feature map.
    """

    def __init__(self, folder: Path, model: Classifier) -> None:
        self._folder, self._model, self._done = folder, model, 0
        self._gradcam = GradCAM(model.model)

    def write(self, photos: Sequence[Photo], probabilities: np.ndarray) -> None:
        """Write the files of classified photos.

        Args:
            photos: The n photos.
            probabilities: (n, classes), their predictions.
        """
        resizing, predicted = self._model.layers[-1], probabilities.argmax(1)
        done = 0
        for batch in batches.batches(photos, self._model.layers, batch_size=SLICE):
            for heat in self._gradcam.heat(batch, predicted[done : done + len(batch)]):
                self._done += 1
                place = self._folder / self._name(photos[done], probabilities[done])
                small = montage.thumbnail(photos[done], SIDE)
                drawn = overlay(small, heat, self._gradcam.centres, resizing)
                write_atomically(place, tf.io.encode_jpeg(drawn, quality=90).numpy())
                done += 1

    def _name(self, photo: Photo, probabilities: np.ndarray) -> str:
        label = self._model.classes[probabilities.argmax()]
        named = f"{_cut(Path(photo.path).stem)}-{_cut(label)}"
        words = f"{self._done:05d}-{named}-{probabilities.max():.2f}"
        return re.sub(r"[^\w.-]+", "_", words) + ".jpg"


def _cut(text: str) -> str:
    """Return at most 100 bytes of a text: file names have at most 255."""
    return text.encode(errors="replace")[:100].decode(errors="ignore")


class GradCAM:
    """Computes Grad-CAM on the last feature map of a saved model [1].

    With A_k the k-th channel of the map and a_k the mean gradient of the class's logit over that
    channel, the heat is ``relu(sum_k a_k A_k)``, divided by its maximum. With average pooling and
    a linear head this is CAM [2], because the gradient is then the same at all positions: the
    head's weight divided by the number of positions.

    Args:
        model: The end-to-end model of a run.

    Raises:
        DataError: the model has no feature map.

    References:
        [1] Selvaraju et al. 2017, "Grad-CAM", https://arxiv.org/abs/1610.02391
        [2] Zhou et al. 2016, "Learning deep features for discriminative localization",
        https://arxiv.org/abs/1512.04150
    """

    def __init__(self, model: keras.Model) -> None:
        prefix, self._head = model.get_layer("prefix"), model.get_layer("head")
        cut = any(layer.name == "suffix" for layer in model.layers)
        last = model.get_layer("suffix") if cut else prefix  # the part with the last map
        maps = [layer.output for layer in last.layers if _is_map(layer.output)]
        if len(maps) < 2:  # the first one is the photo
            raise DataError(model.name, "its prefix has no feature map to explain")
        body = keras.Model(last.input, maps[-1])
        networks = (prefix, body) if cut else (body,)
        self._body = keras.Model(prefix.input, body(prefix.output)) if cut else body
        self._tail = keras.Model(maps[-1], last.output)
        photos = tf.TensorSpec((None, *self._body.input_shape[1:]), tf.float32)
        signature = [photos, tf.TensorSpec((None,), tf.int32)]
        self._compute = tf.function(self._heat, input_signature=signature, autograph=False)
        self.centres = receptive_field_centres(*networks)

    def heat(self, photos: tf.Tensor, classes: np.ndarray) -> np.ndarray:
        """Compute the heat maps of photos.

        Args:
            photos: (N, S, S, 3) float32, scaled and resized.
            classes: (N,) int, the class to explain for each photo.

        Returns:
            (N, h, w) float32 in 0..1; the maximum of each photo is 1, or 0 if no place has a
            positive influence.
        """
        return self._compute(photos, tf.constant(classes, tf.int32)).numpy()

    def _heat(self, photos: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        maps = self._body(photos, training=False)
        with tf.GradientTape() as tape:
            tape.watch(maps)
            logits = self._head(self._tail(maps, training=False), training=False)
            chosen = tf.gather(logits, classes, batch_dims=1)
        weights = tf.reduce_mean(tape.gradient(chosen, maps), (1, 2), keepdims=True)
        heat = tf.nn.relu(tf.reduce_sum(weights * maps, -1))
        return tf.math.divide_no_nan(heat, tf.reduce_max(heat, (1, 2), keepdims=True))


def overlay(
    photo: np.ndarray, heat: np.ndarray, centres: np.ndarray, resizing: keras.layers.Resizing
) -> np.ndarray:
    """Draw a heat map over a photo.

    Args:
        photo: (height, width, 3) uint8.
        heat: (h, w) float in 0..1.
        centres: (h,) from ``receptive_field_centres``.
        resizing: The model's resizing layer; it determines which part of the photo the network
            sees.

    Returns:
        (height, width, 3) uint8; parts that the network does not see are unchanged.
    """
    rows, columns = (
        _weights(length, photo.shape, centres, resizing) for length in photo.shape[:2]
    )
    strength = rows @ heat @ columns.T
    strength /= max(strength.max(), np.finfo(np.float32).tiny)
    colours = np.array(HEAT, np.float32)
    anchors = np.linspace(0, 1, len(HEAT))
    hot = np.stack([np.interp(strength, anchors, colours[:, k]) for k in range(3)], -1)
    share = OPACITY * strength[..., None] ** 0.75
    return np.rint((1 - share) * photo + share * hot).astype(np.uint8)


def receptive_field_centres(*networks: keras.Model) -> np.ndarray:
    """Compute the centre of each output cell's receptive field, in pixels of the input.

    The centres are not those of an even grid over the photo: Keras pads even sizes on the right
    only, so each stride shifts them. Those of MobileNetV2 at 224 px are 31, 63, ... 223, half a
    cell to the right of an enlarged map's cells.

    Args:
        *networks: Models that follow each other, from (N, S, S, 3) to (N, h, w, channels), the
            same in both directions.

    Returns:
        (h,) float64 pixel positions; 0 is the centre of the first pixel.

    >>> photo = keras.Input((8, 8, 3))
    >>> conv = keras.layers.Conv2D(1, 3, strides=2, padding="same")
    >>> receptive_field_centres(keras.Model(photo, conv(photo))).tolist()
    [1.0, 3.0, 5.0, 7.0]
    """
    first, step = 0.0, 1
    for layer in [layer for network in networks for layer in _chain(network)]:
        if isinstance(layer, keras.layers.ZeroPadding2D):
            first -= layer.padding[0][0] * step
        kernel = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
        if kernel:
            stride, size = layer.strides[0], layer.input.shape[1]
            padding = (-(-size // stride) - 1) * stride + kernel[0] - size
            before = max(padding, 0) // 2 if layer.padding == "same" else 0
            first += ((kernel[0] - 1) / 2 - before) * step
            step *= stride
    return first + step * np.arange(networks[-1].output.shape[1])


def _is_map(tensor: Any) -> bool:
    return not isinstance(tensor, list) and len(tensor.shape) == 4


def _chain(network: keras.Model) -> list[Any]:
    """Return the layers from a network's input to its output, without side branches."""
    makers = {id(layer.output): layer for layer in network.layers}
    chain, tensor = [], network.output
    while not isinstance(layer := makers[id(tensor)], keras.layers.InputLayer):
        chain.append(layer)
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        tensor = max(inputs, key=lambda t: t.shape[1])  # not a squeeze-and-excitation branch
    return chain[::-1]


def _weights(
    pixels: int, shape: tuple[int, ...], centres: np.ndarray, resizing: keras.layers.Resizing
) -> np.ndarray:
    """Return (pixels, cells) interpolation weights for the rows or columns of a photo."""
    covered = pixels  # how many of them the network's input covers
    if resizing.crop_to_aspect_ratio:
        covered = min(shape[:2])
    elif resizing.pad_to_aspect_ratio:
        covered = max(shape[:2])
    first = (pixels - covered) / 2
    seen = (np.arange(pixels) + 0.5 - first) * resizing.height / covered - 0.5
    width = resizing.height / len(centres) / 2
    # Gaussian: the edges of linear interpolation would be visible
    matrix = np.exp(-(((seen[:, None] - centres) / width) ** 2) / 2)
    matrix /= matrix.sum(1, keepdims=True)
    matrix[(seen < -0.5) | (seen > resizing.height - 0.5)] = 0
    return matrix
