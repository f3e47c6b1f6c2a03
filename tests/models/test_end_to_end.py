"""The saved model predicts what the run predicted, in a process without catdog."""

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers.features import ensure
from helpers.networks import build, enliven
from helpers.photos import drawn, pixels

from catdog.features import batches
from catdog.features.extractor import Extractor
from catdog.features.feeds import Resident
from catdog.models import backbone, end_to_end, head
from catdog.training import fit, optimizers
from catdog.training.steps import Steps, predict

pytestmark = pytest.mark.tensorflow

SIZES = [(40, 56)] * 5 + [(57, 33)] * 4
# The last column: how far the eager ``model(x)`` may be off. It rounds convolutions otherwise than
# any graph does (1e-6), and now and then that lands on the other side of a float16 or bfloat16.
CASES = [
    ("squash", "float16", "float32", 2e-4),
    ("squash", "float32", "mixed_bfloat16", 2e-3),
    ("crop", "float32", "float32", 1e-5),
    ("pad", "float16", "mixed_bfloat16", 2e-3),
]

CHILD = """
import sys
import keras, numpy as np, tensorflow as tf
folder = sys.argv[1]
groups = np.load(folder + "/photos.npz", allow_pickle=False)
found = {}
for i in range(int(sys.argv[2])):
    model = keras.saving.load_model(f"{folder}/{i}.keras", safe_mode=True)
    spec = tf.TensorSpec((None, None, None, 3), tf.uint8)
    ways = {
        "call": lambda x: model(x),
        "predict": lambda x: model.predict(x, verbose=0),
        "function": tf.function(lambda x: model(x), input_signature=[spec]),
    }
    for way, compute in ways.items():
        parts = [np.asarray(compute(groups[name])) for name in ("first", "second")]
        found[f"{i} {way}"] = np.concatenate(parts)
assert not any(name.split(".")[0] == "catdog" for name in sys.modules)
np.savez(folder + "/found.npz", **found)
"""


@dataclass(frozen=True)
class Saved:
    path: Path
    expected: np.ndarray
    whole: keras.Model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def photos(folder):
    return drawn(folder, SIZES)


@pytest.fixture(scope="module")
def built():
    return enliven(build(image_size=32))


def prefix(built, *, whole):
    """Return the network; for all cases but one its first blocks, which is four times faster."""
    if whole:
        return backbone.prefix(built, pooling="avg")
    early = built.model.get_layer("block_3_project_BN").output
    return keras.Model(built.model.input, backbone.pool(early, "avg"), name="prefix")


@pytest.fixture(scope="module")
def saved(folder, photos, built):
    made = []
    for i, (resize, dtype, precision, _) in enumerate(CASES):
        facts = {"weights": built.weights_hash, "resize": resize}
        layers = batches.preprocessing(32, resize, built.scaling)
        extractor = Extractor(prefix(built, whole=i == 0), layers, facts, dtype, 4)
        feed = Resident(ensure(folder / "cache", extractor, photos))
        trained = head.build(
            extractor.shape,
            3,
            units=[8] if i % 2 else [],
            dropout=0.5,
            precision=precision,
            seed=i,
        )
        steps = Steps(trained, optimizers.build("adam", 1e-3), batch_size=4)
        fit.fit(steps, feed, feed, epochs=2, rng=np.random.default_rng(0))
        whole = end_to_end.stitch(layers, extractor.prefix, trained, features_dtype=dtype)
        whole.save(folder / f"{i}.keras")
        made.append(Saved(folder / f"{i}.keras", predict(trained, feed), whole))
    return made


@pytest.fixture(scope="module")
def found(folder, photos, saved):
    """Predictions of the saved models in a new process without catdog."""
    shown = [pixels(photo.source) for photo in photos]
    np.savez(folder / "photos.npz", first=np.stack(shown[:5]), second=np.stack(shown[5:]))
    subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(len(saved))],
        check=True, cwd=folder, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, timeout=200,
    )  # fmt: skip
    return np.load(folder / "found.npz", allow_pickle=False)


@pytest.mark.parametrize("way", ["call", "predict", "function"])
@pytest.mark.parametrize("case", range(len(CASES)), ids=["-".join(case[:3]) for case in CASES])
def test_the_file_predicts_what_the_run_predicted(saved, found, case, way):
    expected = saved[case].expected
    assert np.ptp(expected, 0).max() > 0.02
    tolerance = CASES[case][3] if way == "call" else 1e-5
    np.testing.assert_allclose(found[f"{case} {way}"], expected, atol=tolerance)


def test_its_inputs_outputs_and_layers(saved):
    for item in saved:
        assert item.whole.input_shape == (None, None, None, 3)
        assert item.whole.input.dtype == "uint8"
        assert (item.whole.output_shape, item.whole.output.dtype) == ((None, 3), "float32")
        names = [layer.name for layer in item.whole.layers]
        assert names == ["photos", "scaling", "resizing", "prefix", "stored", "loaded", "head",
                         "probabilities"]  # fmt: skip


def test_the_file_holds_the_weights_and_little_else(saved, built):
    assert saved[0].whole.count_params() > built.model.count_params()
    for item in saved:
        with zipfile.ZipFile(item.path) as archive:
            assert len(archive.namelist()) == 3
            config = json.loads(archive.read("config.json"))
        assert not config.get("compile_config")
        text = json.dumps(config)
        assert "Lambda" not in text
        assert "catdog" not in text.replace('"name": "catdog"', "")
        weights, structure = 4 * item.whole.count_params(), 5000 * len(item.whole.weights)
        assert weights < item.path.stat().st_size < weights + structure


def test_dropout_rests_however_it_is_called(saved, photos):
    shown = np.stack([pixels(photo.source) for photo in photos[:5]])
    for item in saved:
        again = [item.whole(shown).numpy() for _ in range(2)]
        np.testing.assert_array_equal(*again)
        np.testing.assert_allclose(again[0], item.expected[:5], atol=2e-3)
