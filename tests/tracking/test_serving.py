"""A real ``mlflow models serve`` around a run's model, asked over HTTP as the README asks it."""

from __future__ import annotations

import base64
import io
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Lab, Run, environment, wait_for
from PIL import Image

from catdog import predict
from catdog.system import server

pytestmark = pytest.mark.slow

PHOTOS = 3


@pytest.fixture(scope="module")
def photos(real_photos: Path) -> dict[str, bytes]:
    """Some of the real photos, as they are in Kaggle's archive."""
    whole = zipfile.ZipFile(real_photos / "dogs-vs-cats-2k-native.zip")
    train = zipfile.ZipFile(io.BytesIO(whole.read("train.zip")))
    names = [name for name in train.namelist() if name.endswith(".jpg")][:PHOTOS]
    return {Path(name).name: train.read(name) for name in names}


def pixels(photo: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(photo)).convert("RGB"))


def text(photo: bytes) -> str:
    return base64.b64encode(photo).decode()


@pytest.fixture(scope="module")
def expected(first: Run, photos: dict[str, bytes]) -> np.ndarray:
    """What best.keras says of the photos when it is loaded by hand."""
    import keras

    best = keras.saving.load_model(first.artifacts / "checkpoints/best.keras", compile=False)
    return np.array([best(pixels(photo)[None]).numpy()[0] for photo in photos.values()])


@pytest.fixture(scope="module")
def served(
    first: Run, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Any], tuple[int, Any]]]:
    """Start the server from an environment that is not activated; return how to ask it."""
    folder = tmp_path_factory.mktemp("served")
    with socket.socket() as probe:
        probe.bind((server.HOST, 0))
        port = probe.getsockname()[1]
    programs = shlex.quote(str(Path(sys.executable).parent))
    serve = f"mlflow models serve -m runs:/{first.id}/model --env-manager local --port {port}"
    kept = {k: v for k, v in environment(folder, lab.fonts).items() if k != "PYTHONPATH"}
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen(
            ["sh", "-c", f"PATH={programs}:$PATH exec {serve}"],
            cwd=folder,
            env={**kept, "PATH": "/usr/bin:/bin", "MLFLOW_TRACKING_URI": lab.uri},
            stdout=said,
            stderr=said,
            text=True,
            start_new_session=True,  # MLflow starts a server of its own
        )

    def ask(body: Any) -> tuple[int, Any]:
        asked = urllib.request.Request(
            f"http://{server.HOST}:{port}/invocations",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with server.direct.open(asked, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)

    def answers() -> bool:
        try:
            return server.direct.open(f"http://{server.HOST}:{port}/ping", timeout=5).status == 200
        except OSError:
            return False

    try:
        wait_for(answers, process=process, every=0.2)
        yield ask
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


BODIES: dict[str, Callable[..., Any]] = {
    "inputs": lambda photo: {"inputs": [pixels(photo).tolist()]},
    "instances": lambda photo: {"instances": [pixels(photo).tolist()]},
    "records": lambda *photos: {"dataframe_records": [{"image": text(p)} for p in photos]},
    "split": lambda *photos: {
        "dataframe_split": {"columns": ["image"], "data": [[text(p)] for p in photos]}
    },
    "encoded inputs": lambda *photos: {"inputs": {"image": [text(p) for p in photos]}},
    "encoded instances": lambda *photos: {"instances": [{"image": text(p)} for p in photos]},
}


def rows(answer: tuple[int, Any]) -> np.ndarray:
    status, said = answer
    assert status == 200, said
    assert all(list(row) == ["cat", "dog"] for row in said["predictions"])
    return np.array([list(row.values()) for row in said["predictions"]])


@pytest.mark.photos
@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", BODIES)
def test_a_real_photo_gets_what_the_checkpoint_says(
    kind: str, served: Callable, photos: dict[str, bytes], expected: np.ndarray
) -> None:
    photo = next(iter(photos.values()))
    assert np.abs(rows(served(BODIES[kind](photo))) - expected[:1]).max() < 1e-5


@pytest.mark.photos
@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", [kind for kind in BODIES if kind not in ("inputs", "instances")])
def test_photos_of_several_sizes_are_answered_in_their_order(
    kind: str, served: Callable, photos: dict[str, bytes], expected: np.ndarray
) -> None:
    found = rows(served(BODIES[kind](*photos.values())))
    assert len({pixels(photo).shape for photo in photos.values()}) == PHOTOS
    # oneDNN's last bits depend on the batch's size, and float16 makes more of them
    assert np.abs(found - expected).max() < 1e-4 < np.ptp(expected[:, 0])


@pytest.mark.photos
@pytest.mark.tensorflow
def test_the_command_predict_says_the_same(
    served: Callable, first: Run, lab: Lab, photos: dict[str, bytes], tmp_path: Path, monkeypatch
) -> None:
    for name, photo in photos.items():
        (tmp_path / name).write_bytes(photo)
    words = [*photos, "--model", first.id, "--uri", lab.uri, "--out", "said.json"]
    monkeypatch.setattr(sys, "argv", ["predict.py", *words])
    with pytest.raises(SystemExit) as ended:
        predict.main()
    assert not ended.value.code
    said = json.loads((tmp_path / "said.json").read_text())
    by_command = np.array([list(row["probabilities"].values()) for row in said])
    by_server = rows(served(BODIES["records"](*photos.values())))
    assert np.abs(by_server - by_command).max() < 1e-5
    assert np.ptp(by_command[:, 0]) > 1e-3, "these photos tell nothing apart: a vacuous test"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"inputs": [[[[0.5, 1.0, 0.0]]]]}, "expected uint8 photos from 0 to 255, got float64"),
        ({"instances": [[[[300, 0, 9]]]]}, "expected values from 0 to 255, got 0 to 300"),
        ({"inputs": [[[[-1, 0, 9]]]]}, "expected values from 0 to 255, got -1 to 9"),
        ({"inputs": [[[1, 2], [3, 4]]]}, "expected photos of shape (N, height, width, 3), got"),
        ({"dataframe_records": [{"image": "no base64!"}]}, "expected a base64 encoded photo: "),
        ({"dataframe_split": {"columns": ["image"], "data": [["aGVsbG8="]]}}, "not an image"),
        ({"dataframe_records": [{"photo": "aGVsbG8="}]}, "expected one column, image, got"),
    ],
    ids=["floats", "above", "below", "no photo", "no base64", "no image", "no column"],
)
def test_what_it_cannot_answer_is_refused_in_a_sentence(
    body: Any, sentence: str, served: Callable
) -> None:
    status, said = served(body)
    assert (status, said["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert sentence in said["message"]
    assert said["message"].startswith("expected ")
    assert len(said["message"]) < 120 and "\n" not in said["message"]
