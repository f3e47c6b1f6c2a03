"""The MLflow model in a process that cannot import catdog, fed as a client would."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Lab, Run, environment, rows_of

CLIENT = '''
"""Load a model where catdog does not exist, and write down what it answers."""
import base64, io, json, os, struct, sys, warnings, zlib
import importlib.abc

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("catdog", "hydra", "omegaconf"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
try:
    import catdog
    sys.exit("catdog can be imported")
except ModuleNotFoundError:
    pass

import mlflow, numpy as np, pandas as pd
from PIL import Image, ImageOps

store, uri, photos, out = sys.argv[1:]
mlflow.set_tracking_uri(store)
model = mlflow.pyfunc.load_model(uri)
photos = json.loads(photos)

def pixels(path):
    with Image.open(path) as photo:
        return np.asarray(ImageOps.exif_transpose(photo).convert("RGB"))

def encoded(path):
    return base64.b64encode(open(path, "rb").read()).decode()

def table(*texts):
    return pd.DataFrame({"image": list(texts)})

def answer(given):
    frame = model.predict(given)
    return {"columns": list(frame.columns), "rows": frame.to_numpy().tolist(),
            "types": sorted({str(kind) for kind in frame.dtypes})}

def refusal(given):
    try:
        model.predict(given)
    except mlflow.exceptions.MlflowException as error:
        return f"MlflowException: {error}"
    return "accepted"

noise = np.random.default_rng(0).integers(0, 256, (3, 50, 70, 3), np.uint8)
grey = np.arange(40 * 30).reshape(40, 30) % 256
deep = (grey * 257).astype(np.uint16)
png = io.BytesIO(); Image.fromarray(deep).save(png, "PNG")
shown = np.repeat(grey[:, :, None], 3, 2).astype(np.uint8)
good = encoded(photos[0])

def plain(width, height):
    file = io.BytesIO(); Image.new("RGB", (width, height)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

def black(side):
    """Return a PNG made row by row: a picture of Pillow's would take the memory itself."""
    packer, row = zlib.compressobj(), bytes(1 + 3 * side)
    packed = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    whole = b"\\x89PNG\\r\\n\\x1a\\n" + head + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return base64.b64encode(whole).decode()

def limited(name, most, given):
    os.environ[name] = str(most)
    try:
        return refusal(given)
    finally:
        del os.environ[name]

def peak_mib():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(status["VmHWM"].split()[0]) / 1024

model.predict(table(good))
before = peak_mib()
huge = [refusal(table(*[black(9400)] * many)) for many in (1, 8)]
huge_mib = peak_mib() - before
said = {
    "signature": [model.metadata.signature.inputs is None,
                  model.metadata.signature.outputs.input_names()],
    "arrays": [answer(pixels(p)[None]) for p in photos],
    "encoded": answer(table(*map(encoded, photos))),
    "batch": answer(noise),
    "one photo": answer(noise[0]),
    "int64": answer(noise.astype(np.int64)),
    "deep": [answer(table(base64.b64encode(png.getvalue()).decode())), answer(shown[None])],
    "refused": {
        "floats": refusal(noise / 255.0),
        "out of range": refusal(noise.astype(np.int32) + 1),
        "negative": refusal(noise.astype(np.int32) - 1),
        "grey": refusal(noise[..., :1]),
        "flat": refusal(noise.reshape(3, -1)),
        "nothing": refusal(noise[:0]),
        "no pixels": refusal(noise[:, :0]),
        "bad base64": refusal(table(good, "not base64!")),
        "no photo": refusal(table(base64.b64encode(b"hello").decode())),
        "cut photo": refusal(table(base64.b64encode(base64.b64decode(good)[:900]).decode())),
        "null": refusal(pd.DataFrame({"image": [None]})),
        "other column": refusal(pd.DataFrame({"photo": [good]})),
        "two columns": refusal(pd.DataFrame({"image": [good], "name": ["x"]})),
        "empty table": refusal(table()),
        "large photo": limited("CATDOG_PHOTO_PIXELS", 999, table(good, plain(40, 25))),
        "large array": limited("CATDOG_PHOTO_PIXELS", 3499, noise),
        "large request": limited("CATDOG_REQUEST_PIXELS", 7499, table(*[plain(50, 50)] * 3)),
        "long request": limited("CATDOG_REQUEST_BYTES", 99, table("A" * 60, "A" * 60)),
        "9,400 px": huge[0],
        "eight of 9,400 px": huge[1],
    },
    "within": [limited("CATDOG_PHOTO_PIXELS", 2500, table(plain(50, 50))),
               limited("CATDOG_REQUEST_PIXELS", 7500, table(*[plain(50, 50)] * 3))],
    "huge": huge_mib,
}
assert "catdog" not in sys.modules
json.dump(said, open(out, "w"))
'''


@pytest.fixture(scope="module")
def tests_photos(first: Run, lab: Lab) -> list[Path]:
    """Test photos, one of them turned by EXIF."""
    every = rows_of(first.artifacts / "data/manifest.csv")
    test = [row for row in every if row["split"] == "test" and row["path"].endswith(".jpg")]
    turned = [row for row in every if row["orientation"] == "6"]
    return [lab.photos / row["path"] for row in [*test[:3], turned[0]]]


@pytest.fixture(scope="module")
def said(
    first: Run,
    lab: Lab,
    tests_photos: list[Path],
    tmp_path_factory: pytest.TempPathFactory,
    sweeping: object,
) -> dict[str, Any]:
    """What the model answered in a process without catdog."""
    folder = tmp_path_factory.mktemp("client")
    script, out = folder / "client.py", folder / "said.json"
    script.write_text(CLIENT)
    names = json.dumps([str(path) for path in tests_photos])
    command = [sys.executable, str(script), lab.uri, f"models:/{first.models[0]}", names, str(out)]
    env = {
        **environment(folder, lab.fonts),
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    asked = subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder)
    assert asked.returncode == 0, asked.stderr
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def expected(first: Run, tests_photos: list[Path]) -> np.ndarray:
    """What best.keras says of the photos, turned by Pillow."""
    import keras
    from PIL import Image, ImageOps

    best = keras.saving.load_model(first.artifacts / "checkpoints/best.keras", compile=False)
    answers = []
    for path in tests_photos:
        with Image.open(path) as photo:
            pixels = np.asarray(ImageOps.exif_transpose(photo).convert("RGB"))
        answers.append(best(pixels[None]).numpy()[0])
    return np.array(answers)


@pytest.mark.tensorflow
def test_arrays_get_what_the_checkpoint_says(said, expected: np.ndarray) -> None:
    rows = np.array([answer["rows"][0] for answer in said["arrays"]])
    assert np.abs(rows - expected).max() < 1e-5


@pytest.mark.tensorflow
def test_encoded_photos_of_any_size_get_the_same(said, expected: np.ndarray) -> None:
    assert np.abs(np.array(said["encoded"]["rows"]) - expected).max() < 1e-5


@pytest.mark.tensorflow
def test_a_photo_turned_by_exif_is_turned_back(tests_photos: list[Path], first: Run) -> None:
    import keras
    from PIL import Image

    best = keras.saving.load_model(first.artifacts / "checkpoints/best.keras", compile=False)
    with Image.open(tests_photos[-1]) as photo:
        lying, turned = np.asarray(photo), np.asarray(photo.rotate(-90, expand=True))
    assert np.abs(best(lying[None]) - best(turned[None])).max() > 1e-3, "a vacuous photo"


def test_one_answer_per_photo(said) -> None:
    assert len(said["batch"]["rows"]) == 3
    assert np.abs(np.subtract(said["one photo"]["rows"], said["batch"]["rows"][:1])).max() < 1e-5
    assert said["int64"] == said["batch"]
    assert np.allclose(np.sum(said["batch"]["rows"], axis=1), 1)


def test_a_sixteen_bit_png_is_scaled_not_clipped(said) -> None:
    encoded, shown = said["deep"]
    assert np.abs(np.subtract(encoded["rows"], shown["rows"])).max() < 1e-5


def test_columns_are_the_classes(said) -> None:
    for name in ("encoded", "batch"):
        assert said[name]["columns"] == ["cat", "dog"]
        assert said[name]["types"] == ["float32"]
    assert said["signature"] == [True, ["cat", "dog"]]


REFUSED = {
    "floats": "expected uint8 photos from 0 to 255, got float64",
    "out of range": "expected values from 0 to 255, got 1 to 256",
    "negative": "expected values from 0 to 255, got -1 to 254",
    "grey": "(3, 50, 70, 1)",
    "flat": "(3, 10500)",
    "nothing": "(0, 50, 70, 3)",
    "no pixels": "(3, 0, 70, 3)",
    "bad base64": "expected a base64 encoded photo",
    "no photo": "not an image",
    "cut photo": "damaged",
    "null": "expected a base64 encoded photo",
    "other column": "expected one column, image, got ['photo']",
    "two columns": "expected one column, image, got ['image', 'name']",
    "empty table": "got none",
    "large photo": "pixels is beyond this server's 999 (CATDOG_PHOTO_PIXELS)",
    "large array": "a photo of 3,500 pixels is beyond this server's 3,499 (CATDOG_PHOTO_PIXELS)",
    "large request": "a request of 7,500 pixels is beyond this server's 7,499",
    "long request": "a request with 120 characters of base64 is beyond this server's 99",
    "9,400 px": "a photo of 88,360,000 pixels is beyond this server's 50,000,000",
    "eight of 9,400 px": "a photo of 88,360,000 pixels is beyond this server's 50,000,000",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_cannot_answer_is_refused_in_a_sentence(case: str, said) -> None:
    message = said["refused"][case]
    assert REFUSED[case] in message
    assert message.startswith("MlflowException: ")
    assert "\n" not in message
    assert len(message) < 200


def test_a_huge_photo_is_refused_before_it_is_decoded(said) -> None:
    assert said["huge"] < 200, "its pixels alone are 265 MB"


def test_a_request_within_its_budget_is_answered(said) -> None:
    assert said["within"] == ["accepted", "accepted"]


def test_there_is_no_pickle_and_one_copy_of_the_weights(first: Run, lab: Lab) -> None:
    place = lab.folder / "mlruns/artifacts/models" / first.models[0] / "artifacts"
    files = {path.name for path in place.rglob("*") if path.is_file()}
    assert {"MLmodel", "requirements.txt", "served_model.py", "best.keras"} <= files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".cloudpickle"))]
    (copy,) = place.rglob("best.keras")
    assert copy.samefile(first.artifacts / "checkpoints/best.keras")


def test_the_requirements_are_those_of_serving(first: Run, lab: Lab) -> None:
    place = lab.folder / "mlruns/artifacts/models" / first.models[0] / "artifacts"
    lines = (place / "requirements.txt").read_text().split()
    assert all("==" in line for line in lines)
    names = {line.partition("==")[0] for line in lines}
    assert names == {"mlflow", "tensorflow", "keras", "numpy", "pandas", "pillow"}
