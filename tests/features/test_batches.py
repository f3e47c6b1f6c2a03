"""Batches: photos are decoded as Pillow decodes them and resized as the saved model does."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.photos import drawn, pixels
from PIL import Image

from catdog.features.batches import batches, preprocessing
from catdog.models.backbone import IDENTITY, SYMMETRIC

pytestmark = pytest.mark.tensorflow

SIZES = [(40, 56), (57, 33), (32, 32), (1, 1), (101, 7), (48, 64)]


def resized(pixels, side, rule, scaling):
    """Do by hand what ``preprocessing`` does with layers."""
    height, width = pixels.shape[:2]
    values = pixels.astype(np.float32) * np.float32(scaling[0]) + np.float32(scaling[1])
    if rule == "crop":
        top, left = max(0, height - width) // 2, max(0, width - height) // 2
        least = min(height, width)
        values = values[top : top + least, left : left + least]
    if rule == "pad":
        over, beside = max(0, width - height) // 2, max(0, height - width) // 2
        values = np.pad(values, ((over, over), (beside, beside), (0, 0)))
    return tf.image.resize(values, (side, side), antialias=False).numpy()


def read(photos, layers, **options):
    return np.concatenate([batch.numpy() for batch in batches(photos, layers, **options)])


@pytest.mark.parametrize("scaling", [SYMMETRIC, IDENTITY])
@pytest.mark.parametrize("rule", ["squash", "crop", "pad"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_batches_are_what_each_photo_gives(tmp_path, rule, suffix, scaling):
    photos = drawn(tmp_path, SIZES, suffix=suffix)
    made = list(batches(photos, preprocessing(33, rule, scaling), batch_size=4))
    assert [tuple(batch.shape) for batch in made] == [(4, 33, 33, 3), (2, 33, 33, 3)]
    assert made[0].dtype == tf.float32
    expected = np.stack([resized(pixels(photo.source), 33, rule, scaling) for photo in photos])
    np.testing.assert_allclose(np.concatenate(made), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", ["squash", "crop", "pad"])
def test_the_saved_models_layers_do_the_same(tmp_path, rule):
    photos = drawn(tmp_path, SIZES)
    layers = preprocessing(32, rule, SYMMETRIC)
    model = keras.Sequential([keras.Input((None, None, 3), dtype="uint8"), *layers])
    graph = tf.function(model, input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)])
    for photo, row in zip(photos, read(photos, layers, batch_size=8), strict=True):
        shown = pixels(photo.source)[None]
        np.testing.assert_allclose(model(shown)[0], row, atol=1e-6, err_msg=photo.path)
        np.testing.assert_allclose(graph(shown)[0], row, atol=1e-6, err_msg=photo.path)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_order_is_kept(tmp_path, batch_size):
    few = drawn(tmp_path, [(9, 9)] * 12)
    order = np.random.default_rng(0).integers(0, 12, 60)
    layers = preprocessing(9, "squash", IDENTITY)
    rows = read([few[i] for i in order], layers, batch_size=batch_size)
    np.testing.assert_array_equal(rows, [pixels(few[i].source) for i in order])


def test_orientations_are_undone(tmp_path):
    photos = [
        drawn(tmp_path, [(31, 46)], suffix=".jpg", orientation=turn)[0] for turn in range(1, 9)
    ]
    assert {pixels(photo.source).shape for photo in photos} == {(31, 46, 3), (46, 31, 3)}
    rows = read(photos, preprocessing(32, "squash", IDENTITY), batch_size=8)
    expected = [resized(pixels(photo.source), 32, "squash", IDENTITY) for photo in photos]
    np.testing.assert_allclose(rows, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("suffix", "mode", "options"),
    [(".png", "L", {}), (".png", "P", {}), (".png", "RGBA", {}), (".bmp", "RGB", {}),
     (".gif", "P", {}), (".jpg", "L", {}), (".jpg", "RGB", {"progressive": True}),
     (".webp", "RGB", {"lossless": True})],
)  # fmt: skip
def test_formats_decode_as_in_pillow(tmp_path, suffix, mode, options):
    photo = drawn(tmp_path, [(20, 30)])[0]
    path = tmp_path / f"other{suffix}"
    Image.open(photo.source).convert(mode).save(path, **options)
    photo = replace(photo, source=str(path))
    layers = [keras.layers.Rescaling(1.0, dtype="float32")]
    np.testing.assert_array_equal(read([photo], layers, batch_size=1)[0], pixels(photo.source))


def test_views_go_to_their_photos(tmp_path):
    photos = drawn(tmp_path, [(40, 40)] * 6)
    layers = preprocessing(40, "squash", IDENTITY)
    views = np.array([0, 1, 1, 0, 0, 1])
    rows = read(photos, layers, batch_size=4, policy="flip", views=views)
    for photo, view, row in zip(photos, views, rows, strict=True):
        shown = pixels(photo.source)
        np.testing.assert_array_equal(row, shown[:, ::-1] if view else shown)


def test_a_view_depends_on_the_photo_and_the_seed_alone(tmp_path):
    photos = drawn(tmp_path, [(40, 50)] * 6)
    layers = preprocessing(24, "squash", SYMMETRIC)
    options = {"policy": "strong", "views": 3}
    rows = read(photos, layers, batch_size=6, seed=5, **options)
    elsewhere = [replace(photo, path="moved", split="test", label=1) for photo in photos[::-1]]
    again = read(elsewhere, layers, batch_size=1, seed=5, **options)
    np.testing.assert_array_equal(again[::-1], rows)
    other = read(photos, layers, batch_size=6, seed=6, **options)
    assert all(np.abs(a - b).max() > 0.01 for a, b in zip(rows, other, strict=True))
