"""Heads: shapes, sizes, dropout and seeds."""

import keras
import numpy as np
import pytest
from helpers.networks import NONE

from catdog.models import backbone, head

pytestmark = pytest.mark.tensorflow


def dropouts(model):
    return [x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)]


@pytest.mark.parametrize(
    ("shape", "classes", "units", "dropout", "parameters", "rates"),
    [
        ((1280,), 2, (), 0.2, 1280 * 2 + 2, [0.2]),
        ((1280,), 37, (), [0.4], 1280 * 37 + 37, [0.4]),
        ((8,), 3, [16], 0.0, 8 * 16 + 16 + 16 * 3 + 3, [0.0]),
        ((8,), 2, [4, 5], 0.3, 36 + 25 + 12, [0.3, 0.3]),
        ((8,), 2, [4, 5, 6], [0.5, 0.25, 0], 36 + 25 + 36 + 14, [0.5, 0.25, 0]),
        ((8,), 2, [4], 0, 36 + 10, [0]),
    ],
)
def test_shapes_and_sizes(shape, classes, units, dropout, parameters, rates):
    model = head.build(shape, classes, units=units, dropout=dropout)
    assert model.input_shape == (None, *shape)
    assert model.output_shape == (None, classes)
    assert model.count_params() == parameters
    assert dropouts(model) == rates


def test_the_notebooks_head_has_84_million_weights():
    # its size is linear in the number of features: no need to allocate it
    few, more = (
        head.build((n,), 2, units=[1024, 512, 128], dropout=[0.5, 0.5, 0.25]).count_params()
        for n in (10, 11)
    )
    built = backbone.build("mobilenet_v2", image_size=250, alpha=1.0, weights=NONE, seed=0)
    _, features = backbone.prefix(built, pooling="flatten").output_shape
    assert features == 8 * 8 * 1280
    assert few + (features - 10) * (more - few) == 84_477_826


def test_it_computes_what_it_says():
    model = head.build((6,), 3, units=[4], dropout=0.5, seed=1)
    x = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)
    kernel, bias, last, end = (weight.numpy() for weight in model.weights)
    bias += 0.1
    model.weights[1].assign(bias)
    expected = np.maximum(x @ kernel + bias, 0) @ last + end
    np.testing.assert_allclose(model(x, training=False), expected, atol=1e-5)


def test_dropout_follows_each_hidden_layer():
    model = head.build((6,), 2, units=[4, 3], dropout=[0.5, 0.25])
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["InputLayer", "Dense", "Dropout", "Dense", "Dropout", "Dense"]
    linear = [type(layer).__name__ for layer in head.build((6,), 2).layers]
    assert linear == ["InputLayer", "Dropout", "Dense"]


def test_the_seed_decides():
    def start(seed):
        model = head.build((6,), 2, units=[4, 4], dropout=0.5, seed=seed)
        masked = model(np.ones((32, 6), np.float32), training=True)
        return b"".join(w.numpy().tobytes() for w in model.weights) + masked.numpy().tobytes()

    assert start(1) == start(1) != start(2)
    kernels = [w.numpy() for w in head.build((4,), 4, units=[4, 4]).weights if w.ndim == 2]
    assert not np.allclose(kernels[0], kernels[1])
    assert not np.allclose(kernels[1], kernels[2])


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("units", [(), (8,)])
def test_mixed_precision_ends_in_float32(precision, units):
    model = head.build((6,), 2, units=units, precision=precision)
    assert all(weight.dtype == "float32" for weight in model.weights)
    assert model(np.ones((2, 6), np.float32)).dtype == "float32"
    compute = {layer.name: layer.compute_dtype for layer in model.layers[1:]}
    assert compute.pop("logits") == "float32"
    assert set(compute.values()) == {precision.removeprefix("mixed_")}
