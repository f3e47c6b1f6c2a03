"""Where a model looked: Grad-CAM (Selvaraju et al. 2017) laid over the photos."""

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
"""Longer side of an overlay, in pixels."""

OPACITY = 0.65
"""Of the hottest spot; cold ones show the photo as it is."""

HEAT = ((40, 11, 84), (120, 28, 109), (197, 58, 84), (240, 112, 32), (252, 200, 60))
"""Violet, purple, red, orange, yellow: in grey print hotter is still lighter."""


class Explainer:
    """Finds the places that spoke for a class, on the last feature map of a model's prefix.

    The heat of a place is relu(sum_k a_k A_k), A its map and a_k the mean gradient of the class's
    logit over map k. With average pooling and a linear head that is CAM (Zhou et al. 2016): the
    gradient of a logit is then the same everywhere, the head's own weight over the map's size.

    Args:
        model: As a run saved it: prefix, features as stored, head, softmax.

    Raises:
        DataError: its prefix has no feature map.
    """

    def __init__(self, model: keras.Model) -> None:
        prefix, self._head = model.get_layer("prefix"), model.get_layer("head")
        cut = any(layer.name == "suffix" for layer in model.layers)
        last = model.get_layer("suffix") if cut else prefix  # which has the last map
        maps = [layer.output for layer in last.layers if _is_map(layer.output)]
        if len(maps) < 2:  # the first is the photo
            raise DataError(model.name, "its prefix has no feature map to explain")
        body = keras.Model(last.input, maps[-1])
        networks = (prefix, body) if cut else (body,)
        self._body = keras.Model(prefix.input, body(prefix.output)) if cut else body
        self._tail = keras.Model(maps[-1], last.output)
        photos = tf.TensorSpec((None, *self._body.input_shape[1:]), tf.float32)
        signature = [photos, tf.TensorSpec((None,), tf.int32)]
        self._compute = tf.function(self._heat, input_signature=signature)
        self.centres = centres(*networks)

    def heat(self, photos: tf.Tensor, classes: np.ndarray) -> np.ndarray:
        """Return (N, h, w) float32 heat, the hottest place of each photo 1 (or all 0).

        Args:
            photos: (N, S, S, 3) float32, scaled and resized.
            classes: (N,) int; the class that is explained.
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


def _is_map(tensor: Any) -> bool:
    return not isinstance(tensor, list) and len(tensor.shape) == 4


def centres(*networks: keras.Model) -> np.ndarray:
    """Return the pixel of a network's input that each cell of its output map is centred on.

    They are not simply spread evenly: where Keras pads even sizes on the right only, each stride
    shifts them, and MobileNetV2's cells at 224 px are centred on 31, 63, ... 223, half a cell
    right of where an enlarged map would show them.

    Args:
        *networks: One behind the other, (N, S, S, 3) to (N, h, w, channels), alike in both
            directions.

    Returns:
        (h,) float pixels, 0 the centre of the first.
    """
    first, step = 0.0, 1
    for layer in [layer for network in networks for layer in _chain(network)]:
        if isinstance(layer, keras.layers.ZeroPadding2D):
            first -= layer.padding[0][0] * step
        kernel = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
        if kernel:
            stride, size = layer.strides[0], layer.input.shape[1]
            lack = (-(-size // stride) - 1) * stride + kernel[0] - size
            before = max(lack, 0) // 2 if layer.padding == "same" else 0
            first += ((kernel[0] - 1) / 2 - before) * step
            step *= stride
    return first + step * np.arange(networks[-1].output.shape[1])


def _chain(network: keras.Model) -> list[Any]:
    """Return the layers from a network's input to its output, past side branches."""
    makers = {id(layer.output): layer for layer in network.layers}
    chain, tensor = [], network.output
    while not isinstance(layer := makers[id(tensor)], keras.layers.InputLayer):
        chain.append(layer)
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        tensor = max(inputs, key=lambda t: t.shape[1])  # not a block's squeezed side branch
    return chain[::-1]


def overlay(
    photo: np.ndarray, heat: np.ndarray, where: np.ndarray, resizing: keras.layers.Resizing
) -> np.ndarray:
    """Lay heat over a photo.

    Args:
        photo: (height, width, 3) uint8.
        heat: (h, w) from 0 to 1.
        where: (h,) the pixels of the network's input that the cells are centred on.
        resizing: The model's layer, which says what part of the photo the network saw.

    Returns:
        (height, width, 3) uint8; what the network did not see has no heat.
    """
    rows, columns = (_spread(length, photo.shape, where, resizing) for length in photo.shape[:2])
    strength = rows @ heat @ columns.T
    strength /= max(strength.max(), np.finfo(np.float32).tiny)
    colours = np.array(HEAT, np.float32)
    anchors = np.linspace(0, 1, len(HEAT))
    hot = np.stack([np.interp(strength, anchors, colours[:, k]) for k in range(3)], -1)
    share = OPACITY * strength[..., None] ** 0.75
    return np.rint((1 - share) * photo + share * hot).astype(np.uint8)


def _spread(
    pixels: int, shape: tuple[int, ...], where: np.ndarray, resizing: keras.layers.Resizing
) -> np.ndarray:
    """Return (pixels, cells): how much of each cell's heat a row or column of the photo shows."""
    covered = pixels  # by the network's input
    if resizing.crop_to_aspect_ratio:
        covered = min(shape[:2])
    elif resizing.pad_to_aspect_ratio:
        covered = max(shape[:2])
    first = (pixels - covered) / 2
    seen = (np.arange(pixels) + 0.5 - first) * resizing.height / covered - 0.5
    reach = resizing.height / len(where) / 2
    matrix = np.exp(-(((seen[:, None] - where) / reach) ** 2) / 2)  # straight lines would show
    matrix /= matrix.sum(1, keepdims=True)
    matrix[(seen < -0.5) | (seen > resizing.height - 0.5)] = 0
    return matrix


class Overlays:
    """Writes one JPEG per photo: ``<number>-<name>-<class>-<probability>.jpg``."""

    def __init__(self, folder: Path, model: Classifier) -> None:
        self._folder, self._model, self._done = folder, model, 0
        self._explainer = Explainer(model.model)

    def write(self, photos: Sequence[Photo], probabilities: np.ndarray) -> None:
        """Explain photos' predicted classes.

        Args:
            photos: What was classified.
            probabilities: (n, classes).
        """
        resizing, chosen = self._model.layers[-1], probabilities.argmax(1)
        done = 0
        for batch in batches.batches(photos, self._model.layers, batch_size=SLICE):
            for heat in self._explainer.heat(batch, chosen[done : done + len(batch)]):
                self._done += 1
                place = self._folder / self._name(photos[done], probabilities[done])
                small = montage.thumbnail(photos[done], SIDE)
                drawn = overlay(small, heat, self._explainer.centres, resizing)
                write_atomically(place, tf.io.encode_jpeg(drawn, quality=90).numpy())
                done += 1

    def _name(self, photo: Photo, probabilities: np.ndarray) -> str:
        label = self._model.classes[probabilities.argmax()]
        words = f"{self._done:05d}-{Path(photo.path).stem}-{label}-{probabilities.max():.2f}"
        return re.sub(r"[^\w.-]+", "_", words) + ".jpg"
