"""Backbones: they stay frozen, a cut loses nothing, and their hash is that of their weights."""

import keras
import numpy as np
import pytest
from helpers.networks import build, enliven

from catdog.errors import ConfigError
from catdog.models import backbone

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def built():
    return enliven(build())


@pytest.fixture(scope="module")
def photos():
    return np.random.default_rng(0).uniform(-1, 1, (3, 64, 64, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "channels", "low", "high"),
    [
        ("mobilenet_v2", 1280, -1, 1),
        ("mobilenet_v3_small", 192, 0, 255),
        ("mobilenet_v3_large", 336, 0, 255),
        ("efficientnet_v2_b0", 1280, 0, 255),
        ("resnet50_v2", 2048, -1, 1),
    ],
)
def test_every_backbone_builds_frozen(name, channels, low, high):
    built = build(name)
    assert backbone.prefix(built, pooling="avg").output_shape == (None, channels)
    assert backbone.prefix(built, pooling="flatten").output_shape == (None, 2 * 2 * channels)
    scale, offset = built.scaling
    assert (0 * scale + offset, 255 * scale + offset) == pytest.approx((low, high))
    assert built.model.trainable_variables == []
    assert built.name == name


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ConfigError, match=r"^backbone\.image_size=16"):
        build(image_size=16)


def test_pooling(built, photos):
    grid = built.model(photos, training=False).numpy()
    assert grid.shape == (3, 2, 2, 1280)
    assert grid.std() > 0.1
    average = backbone.prefix(built, pooling="avg")(photos, training=False)
    flat = backbone.prefix(built, pooling="flatten")(photos, training=False)
    np.testing.assert_allclose(average, grid.mean((1, 2)), atol=1e-5)
    np.testing.assert_array_equal(flat, grid.reshape(3, -1))


def test_batch_norms_infer_even_when_told_to_train(built, photos):
    kept = [variable.numpy() for variable in built.model.variables]
    quiet, trained = (built.model(photos, training=training) for training in (False, True))
    np.testing.assert_array_equal(trained, quiet)
    for variable, value in zip(built.model.variables, kept, strict=True):
        np.testing.assert_array_equal(variable, value, err_msg=variable.path)


def test_training_a_head_leaves_the_backbone_alone(built, photos):
    kept = [variable.numpy() for variable in built.model.variables]
    head = keras.layers.Dense(2)
    whole = keras.Sequential([backbone.prefix(built, pooling="avg"), head])
    whole.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    whole(photos[:1])
    before = head.kernel.numpy()
    whole.fit(photos, np.array([0, 1, 1]), epochs=2, verbose=0)
    assert np.abs(head.kernel.numpy() - before).max() > 1e-6
    for variable, value in zip(built.model.variables, kept, strict=True):
        np.testing.assert_array_equal(variable, value, err_msg=variable.path)


@pytest.mark.parametrize("pooling", ["avg", "flatten"])
@pytest.mark.parametrize("cut", ["block_12_add", "block_6_project_BN"])
def test_prefix_and_suffix_make_the_whole(built, photos, cut, pooling):
    first = backbone.prefix(built, pooling=pooling, cut=cut)
    second = backbone.suffix(built, pooling=pooling, cut=cut)
    assert first.output_shape == (None, *built.model.get_layer(cut).output.shape[1:])
    assert first.count_params() + second.count_params() == built.model.count_params()
    parts = second(first(photos, training=False), training=False)
    whole = backbone.prefix(built, pooling=pooling)(photos, training=False)
    np.testing.assert_allclose(parts, whole, atol=1e-6)


def test_weights_hash_is_the_weights(built):
    # test_extraction checks that it is the same in another process
    other, same = build(seed=1), build()
    assert build().weights_hash == same.weights_hash
    assert len({x.weights_hash for x in (built, same, other)}) == 3
    other.model.set_weights(built.model.get_weights())
    assert other.weights_hash == built.weights_hash
    variable = other.model.weights[-1]
    value = variable.numpy()
    value.flat[0] = np.nextafter(value.flat[0], np.float32(np.inf))
    variable.assign(value)
    assert other.weights_hash != built.weights_hash
