"""A cut backbone: the prefix's output is stored, and a copy of the suffix is trained."""

import itertools

import keras
import numpy as np
import pytest
from helpers.features import ensure, values
from helpers.networks import build, enliven

from catdog.errors import CatdogError
from catdog.features import batches
from catdog.features.extractor import Extractor
from catdog.features.feeds import Live, Resident, Streamed
from catdog.models import backbone, end_to_end, head
from catdog.settings import blocks
from catdog.training import fit, optimizers
from catdog.training.steps import Steps, predict

pytestmark = pytest.mark.tensorflow

NETWORKS = list(blocks.BLOCKS)
BEFORE = {  # by hand, from the networks' summaries
    "mobilenet_v2": {"block_13": "block_12_add", "block_7": "block_6_project_BN",
                     "Conv_1": "block_16_project_BN", "expanded_conv": "Conv1_relu"},
    "mobilenet_v3_small": {"expanded_conv_8": "expanded_conv_7_add",
                           "expanded_conv_1": "expanded_conv_project_bn",
                           "conv_1": "expanded_conv_10_add"},
    "mobilenet_v3_large": {"expanded_conv_13": "expanded_conv_12_project_bn",
                           "conv_1": "expanded_conv_14_add"},
    "efficientnet_v2_b0": {"block1a": "stem_activation", "block6b": "block6a_project_bn",
                           "block2a": "block1a_project_activation", "top": "block6h_add"},
    "resnet50_v2": {"conv2_block1": "pool1_pool", "conv3_block1": "conv2_block3_out",
                    "conv5_block3": "conv5_block2_out"},
}  # fmt: skip


@pytest.fixture(scope="module", params=NETWORKS)
def built(request):
    return enliven(build(request.param))


@pytest.fixture(scope="module")
def small():
    return enliven(build(image_size=32))


def noise(built, n=2):
    low, high = (-1, 1) if built.scaling == backbone.SYMMETRIC else (0, 255)
    size = built.model.input_shape[1]
    return np.random.default_rng(0).uniform(low, high, (n, size, size, 3)).astype(np.float32)


# === where ===


def test_the_names_are_those_of_the_network(built):
    known = blocks.BLOCKS[built.name]
    cuts = [backbone.layer_before(built, block) for block in known]
    order = [layer.name for layer in built.model.layers]
    places = [order.index(cut) for cut in cuts]
    assert places == sorted(set(places))
    for block, cut in BEFORE[built.name].items():
        assert cuts[known.index(block)] == cut
    # between two neighbouring cuts lies exactly what the first one names
    for block, (here, there) in zip(known, itertools.pairwise(places), strict=False):
        named = [n for n in order[here + 1 : there + 1] if not n.startswith(("re_lu", "activ"))]
        assert all(f"{name}_".startswith((f"{block}_", "max_pooling")) for name in named)


@pytest.mark.parametrize("which", [1, -4, -1])
def test_the_halves_make_the_whole(built, which):
    cut = backbone.layer_before(built, blocks.BLOCKS[built.name][which])
    first, rest = (part(built, pooling="avg", cut=cut) for part in
                   (backbone.prefix, backbone.suffix))  # fmt: skip
    assert first.count_params() + rest.count_params() == built.model.count_params()
    shown = noise(built)
    whole = backbone.prefix(built, pooling="avg")(shown, training=False).numpy()
    assert whole.std() > 0.01
    copy, stored = backbone.unfrozen(rest), first(shown, training=False)
    for training in (False, True):  # the frozen norms infer, also where all the rest trains
        if training and built.name == "efficientnet_v2_b0":
            continue  # it drops paths
        parts = copy(stored, training=training)
        np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-5 * np.abs(whole).max())


def test_what_is_no_block_is_refused(small):
    for name in ("block_17", "Conv1", "block_13_depthwise", "Conv_1_bn"):
        assert blocks.named("mobilenet_v2", name) is None
    with pytest.raises(CatdogError, match="cannot cut mobilenet_v2 before block_17"):
        backbone.layer_before(small, "block_17")
    with pytest.raises(CatdogError, match="cannot cut mobilenet_v2 before block_14_add"):
        backbone.layer_before(small, "block_14_add")


@pytest.mark.parametrize(
    ("network", "name", "block"),
    [
        ("mobilenet_v2", "block_13", "block_13"),
        ("mobilenet_v2", "block_13_expand", "block_13"),
        ("mobilenet_v2", "Conv_1", "Conv_1"),
        ("mobilenet_v2", "Conv_1_expand", None),
        ("mobilenet_v3_small", "expanded_conv", "expanded_conv"),
        ("mobilenet_v3_small", "expanded_conv_expand", None),
        ("mobilenet_v3_large", "expanded_conv_12_expand", "expanded_conv_12"),
        ("efficientnet_v2_b0", "block6a", "block6a"),
        ("efficientnet_v2_b0", "block6a_expand", None),
        ("resnet50_v2", "block_13", None),
    ],
)
def test_a_block_or_its_first_layer(network, name, block):
    assert blocks.named(network, name) == block


# === what is trained ===


def cut_at(built, block, dtype="float16"):
    cut = backbone.layer_before(built, block)
    size = built.model.input_shape[1]
    extractor = Extractor(
        backbone.prefix(built, pooling="avg", cut=cut),
        batches.preprocessing(size, "squash", built.scaling),
        {"weights": built.weights_hash, "cut": block},
        dtype,
        batch_size=5,
    )
    return extractor, backbone.suffix(built, pooling="avg", cut=cut)


def trained_on(source, rest, *, epochs=3, lr=1e-3):
    """Train a copy of the rest and a head on batches of all photos; return both and the model."""
    suffix = backbone.unfrozen(rest)
    top = head.build(rest.output_shape[1:], 2, dropout=0.2, seed=2)
    whole = end_to_end.joined(suffix, top)
    steps = Steps(whole, optimizers.build("adamw", lr), batch_size=12)
    fit.fit(steps, source, source, epochs=epochs, rng=np.random.default_rng(1), patience=None)
    return suffix, top, whole


def test_training_changes_a_copy_and_no_batch_norm(tmp_path, photos, small):
    extractor, rest = cut_at(small, "block_13")
    source = Resident(ensure(tmp_path, extractor, photos))
    before, known = small.weights_hash, [value.copy() for value in rest.get_weights()]
    calls = [len(layer._inbound_nodes) for layer in small.model.layers]
    suffix, _, whole = trained_on(source, rest)
    assert small.weights_hash == before
    assert [len(layer._inbound_nodes) for layer in small.model.layers] == calls  # no trial is kept
    assert [v.path for v in suffix.weights] == [v.path for v in rest.weights]
    for variable, value in zip(suffix.weights, known, strict=True):
        change = np.abs(variable.numpy() - value).max()
        norm = "_BN" in variable.path or "_bn" in variable.path
        assert change == 0 if norm else change > 1e-5, variable.path
    convolutions = [layer for layer in rest.layers if hasattr(layer, "kernel")]
    assert len(whole.trainable_variables) == len(convolutions) + 2
    again = trained_on(source, rest)[2]
    for mine, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_the_stores_of_both_stages_agree(tmp_path, photos, small):
    layers = batches.preprocessing(32, "squash", small.scaling)
    for dtype, tolerance in (("float32", 1e-5), ("float16", 5e-3)):
        facts = {"weights": small.weights_hash, "cut": None}
        whole = Extractor(backbone.prefix(small, pooling="avg"), layers, facts, dtype, 5)
        extractor, rest = cut_at(small, "block_13", dtype)
        pooled = values(ensure(tmp_path, whole, photos)).astype(np.float32)
        held = values(ensure(tmp_path, extractor, photos)).astype(np.float32)
        assert held.shape == (12, *extractor.shape) and pooled.std() > 0.1
        np.testing.assert_allclose(rest(held, training=False), pooled, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 1e-4), ("float32", 1e-5)])
def test_cache_disk_and_stream_are_alike(tmp_path, photos, small, dtype, tolerance):
    extractor, rest = cut_at(small, "block_14", dtype)
    held = ensure(tmp_path, extractor, photos, policy="flip", views=2)
    live = Live(extractor, photos, views=2)
    resident, streamed = Resident(held), Streamed(held, 16 * 3 * values(held)[0].nbytes)
    assert len(list(streamed.ordered())) > 3
    expected = predict(trained_on(Live(extractor, photos), rest)[2], live)
    assert np.ptp(expected[:, 0]) > 0.05
    clean = Resident(ensure(tmp_path, extractor, photos))
    trained = trained_on(clean, rest)[2]
    for source in (live, resident, streamed):
        np.testing.assert_allclose(predict(trained, source), expected, atol=tolerance)


@pytest.mark.parametrize("network", ["mobilenet_v3_small", "efficientnet_v2_b0"])
@pytest.mark.slow
def test_the_file_predicts_what_was_trained(tmp_path, photos, network):
    built = enliven(build(network))
    extractor, rest = cut_at(built, blocks.BLOCKS[network][-3], "float32")
    source = Resident(ensure(tmp_path, extractor, photos))
    suffix, top, trained = trained_on(source, rest, epochs=1, lr=1e-4)
    whole = end_to_end.stitch(
        extractor.layers, extractor.prefix, top, features_dtype="float32", suffix=suffix
    )
    names = [layer.name for layer in whole.layers]
    assert names[-5:] == ["stored", "loaded", "suffix", "head", "probabilities"]
    whole.save(tmp_path / "whole.keras")
    loaded = keras.saving.load_model(tmp_path / "whole.keras", compile=False, safe_mode=True)
    expected = predict(trained, source)
    pixels = [batches.decode(batches.tf.io.read_file(photo.source)) for photo in photos]
    found = np.concatenate([loaded(pixel[None]) for pixel in pixels])
    np.testing.assert_allclose(found, expected, atol=2e-4)
