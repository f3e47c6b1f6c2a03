"""Grad-CAM: the heat is that of the paper, and it is drawn on the right pixels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Lab, Run

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def classifier(first: Run) -> Any:
    from catdog.inference import classifier

    return classifier.load(first.artifacts / "checkpoints/best.keras", ("cat", "dog"))


@pytest.fixture(scope="module")
def photos(first: Run, lab: Lab) -> list[Any]:
    """Four photos, one of them turned by EXIF."""
    from catdog.data import scan
    from catdog.data.manifest import Photo

    names = [lab.photos / name for name in ("cat/0.jpg", "cat/1.jpg", "dog/2.jpg", "dog/1.jpg")]
    checked = [(str(path), scan.check(str(path), lab.folder)) for path in names]
    return [
        Photo(path, path, 0, "", verdict.size, verdict.sha256, verdict.orientation)
        for path, verdict in checked
    ]


@pytest.fixture(scope="module")
def resized(classifier: Any, photos: list[Any]) -> Any:
    from catdog.features import batches

    (batch,) = batches.batches(photos, classifier.layers, batch_size=len(photos))
    return batch


# === heat ===


def test_with_pooling_and_a_linear_head_it_is_the_class_activation_map(
    classifier: Any, resized: Any
) -> None:
    import keras

    from catdog.inference.gradcam import GradCAM

    prefix, head = (classifier.model.get_layer(name) for name in ("prefix", "head"))
    maps = keras.Model(prefix.input, prefix.get_layer("out_relu").output)(resized).numpy()
    weights = head.get_layer("logits").kernel.numpy()
    for label in (0, 1):
        heat = GradCAM(classifier.model).heat(resized, np.full(len(resized), label))
        by_hand = np.maximum(maps @ weights[:, label], 0)
        by_hand /= np.maximum(by_hand.max((1, 2), keepdims=True), 1e-12)
        assert by_hand.std() > 0.1, "a vacuous head"
        assert np.allclose(heat, by_hand, atol=1e-4)


def test_a_flat_head_has_gradients_of_its_own_at_every_place(resized: Any) -> None:
    """relu(sum_k a_k A_k) with a_k the mean gradient, the gradient by finite differences."""
    import keras

    from catdog.features import batches
    from catdog.inference.gradcam import GradCAM
    from catdog.models import end_to_end, head

    keras.utils.set_random_seed(1)
    photo = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, strides=4, activation="relu", padding="same")(photo)
    prefix = keras.Model(photo, keras.layers.Flatten()(x), name="prefix")
    top = head.build((64,), 3, units=[8], dropout=0.5)
    whole = end_to_end.stitch(
        batches.preprocessing(16, "squash", (1 / 127.5, -1.0)),
        prefix,
        top,
        features_dtype="float32",
    )
    pixels = keras.ops.image.resize(resized, (16, 16))
    maps = keras.Model(photo, x)(pixels).numpy().astype(np.float64)

    def logits(values: np.ndarray) -> np.ndarray:
        return top(values.reshape(len(values), -1).astype(np.float32)).numpy()[:, 2]

    slopes = np.zeros_like(maps)
    for place in np.ndindex(maps.shape[1:]):
        step = np.zeros(maps.shape[1:])
        step[place] = 1e-2
        slopes[(slice(None), *place)] = (logits(maps + step) - logits(maps - step)) / 2e-2
    by_hand = np.maximum((maps * slopes.mean((1, 2), keepdims=True)).sum(-1), 0)
    by_hand /= np.maximum(by_hand.max((1, 2), keepdims=True), 1e-12)
    heat = GradCAM(whole).heat(pixels, np.full(len(pixels), 2))
    assert by_hand.std() > 0.1
    assert np.allclose(heat, by_hand, atol=0.02)


def test_a_prefix_without_a_map_is_refused() -> None:
    import keras

    from catdog.errors import DataError
    from catdog.features import batches
    from catdog.inference.gradcam import GradCAM
    from catdog.models import end_to_end, head

    photo = keras.Input((8, 8, 3))
    prefix = keras.Model(photo, keras.layers.Flatten()(photo), name="prefix")
    whole = end_to_end.stitch(
        batches.preprocessing(8, "squash", (1.0, 0.0)), prefix, head.build((192,), 2),
        features_dtype="float32",
    )  # fmt: skip
    with pytest.raises(DataError, match="no feature map"):
        GradCAM(whole)


# === where the heat lies ===


def strided(kind: str, size: int, *, gated: bool) -> Any:
    """Return a small network of stride 4; its gate lets every pixel reach every cell."""
    import keras

    layers = keras.layers
    photo = keras.Input((size, size, 3))
    x = {
        "padded": lambda: layers.Conv2D(4, 3, 2)(layers.ZeroPadding2D(((0, 1), (0, 1)))(photo)),
        "same": lambda: layers.Conv2D(4, 3, 2, padding="same")(photo),
        "valid": lambda: layers.Conv2D(4, 5, 2)(photo),
        "pooled": lambda: layers.AveragePooling2D(3, 2)(layers.ZeroPadding2D(1)(photo)),
    }[kind]()
    x = layers.DepthwiseConv2D(3, 2, padding="same")(x)
    if gated:
        gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
        x = layers.Multiply()([layers.Conv2D(x.shape[-1], 1)(gate), x])
    side = layers.Conv2D(x.shape[-1], 3, padding="same")(x)
    return keras.Model(photo, layers.Add()([x, side]))


@pytest.mark.parametrize("size", [64, 65])
@pytest.mark.parametrize("kind", ["padded", "same", "valid", "pooled"])
def test_a_cell_is_centred_in_the_pixels_that_reach_it(kind: str, size: int) -> None:
    import tensorflow as tf

    from catdog.inference.gradcam import receptive_field_centres

    found, network = (
        receptive_field_centres(strided(kind, size, gated=True)),
        strided(kind, size, gated=False),
    )
    assert len(found) == network.output_shape[1]
    noise = tf.random.stateless_uniform((1, size, size, 3), (0, 1))
    for cell in (2, len(found) // 2):
        with tf.GradientTape() as tape:
            tape.watch(noise)
            output = tf.reduce_sum(network(noise)[0, cell, cell])
        touched = np.flatnonzero(np.abs(tape.gradient(output, noise)[0]).sum((1, 2)))
        assert found[cell] == (touched[0] + touched[-1]) / 2


def test_mobilenets_cells_lie_half_a_cell_right_of_an_even_spread() -> None:
    import keras

    from catdog.inference.gradcam import receptive_field_centres

    def network(size: int) -> keras.Model:
        return keras.applications.MobileNetV2(
            (size, size, 3), alpha=0.35, include_top=False, weights=None
        )

    assert list(receptive_field_centres(network(224))) == [31, 63, 95, 127, 159, 191, 223]
    assert list(receptive_field_centres(network(225))) == [0, 32, 64, 96, 128, 160, 192, 224]


@pytest.mark.parametrize("shape", [(100, 200), (200, 100), (120, 120)])
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_heat_lies_where_the_network_saw_it(resize: str, shape: tuple[int, int]) -> None:
    from catdog.features import batches
    from catdog.inference.gradcam import overlay

    resizing = batches.preprocessing(200, resize, (1.0, 0.0))[-1]
    heat = np.zeros((5, 5))
    heat[2, 3] = 1.0
    cells = np.array([19.5, 59.5, 99.5, 139.5, 179.5])
    drawn = overlay(np.full((*shape, 3), 128, np.uint8), heat, cells, resizing).astype(int)
    assert drawn.shape == (*shape, 3)
    yellow = drawn[..., 1] - drawn[..., 2]
    found = np.argwhere(yellow == yellow.max()).mean(0)
    side = {"squash": shape, "crop": [min(shape)] * 2, "pad": [max(shape)] * 2}[resize]
    for place, length, covered, pixel in zip(found, shape, side, (100, 140), strict=True):
        assert place + 0.5 == pytest.approx(pixel * covered / 200 + (length - covered) / 2, abs=2)


def test_what_a_crop_leaves_out_is_not_hot() -> None:
    from catdog.features import batches
    from catdog.inference.gradcam import overlay

    resizing = batches.preprocessing(200, "crop", (1.0, 0.0))[-1]
    grey = np.full((100, 200, 3), 128, np.uint8)
    drawn = overlay(grey, np.ones((4, 4)), np.arange(24.5, 200, 50), resizing)
    assert (drawn[:, :50] == 128).all()
    assert (drawn[:, 150:] == 128).all()
    assert (drawn[:, 51:149] != 128).any(-1).all()


def test_no_heat_leaves_the_photo_as_it_is() -> None:
    from catdog.features import batches
    from catdog.inference.gradcam import overlay

    resizing = batches.preprocessing(64, "squash", (1.0, 0.0))[-1]
    photo = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    assert (overlay(photo, np.zeros((2, 2)), np.array([31.0, 63.0]), resizing) == photo).all()


# === files ===


def test_each_photo_gets_a_picture_of_its_own(
    classifier: Any, photos: list[Any], tmp_path: Path
) -> None:
    from PIL import Image, ImageOps

    from catdog.inference.gradcam import Overlays

    values = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.4, 0.6]], np.float32)
    folder = tmp_path / "why"
    overlays = Overlays(folder, classifier)
    overlays.write(photos[:3], values[:3])
    overlays.write(photos[3:], values[3:])
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == [
        "00001-0-cat-0.90.jpg", "00002-1-dog-0.80.jpg",
        "00003-2-cat-0.50.jpg", "00004-1-dog-0.60.jpg",
    ]  # fmt: skip
    for file, photo in zip(files, photos, strict=True):
        with Image.open(file) as drawn, Image.open(photo.path) as original:
            upright = ImageOps.exif_transpose(original)
            assert max(drawn.size) == 512
            assert drawn.width / drawn.height == pytest.approx(
                upright.width / upright.height, 0.02
            )


def test_names_are_safe_whatever_photos_and_classes_are_called(
    classifier: Any, photos: list[Any], tmp_path: Path
) -> None:
    import dataclasses

    from catdog.inference.gradcam import Overlays

    odd = dataclasses.replace(photos[0], path="zip/a b/../ü $(x)\n.jpg")
    strange = dataclasses.replace(classifier, classes=("../cat", "dog"))
    Overlays(tmp_path, strange).write([odd], np.array([[1.0, 0.0]], np.float32))
    (file,) = tmp_path.rglob("*.jpg")
    assert file.parent == tmp_path
    assert re.fullmatch(r"[\w.-]+", file.name)
    long = dataclasses.replace(photos[0], path="猫" * 80 + ".jpg")  # 244 bytes
    named = dataclasses.replace(classifier, classes=("犬" * 60, "dog"))
    Overlays(tmp_path / "long", named).write([long], np.array([[1.0, 0.0]], np.float32))
    assert len(list((tmp_path / "long").iterdir())) == 1
