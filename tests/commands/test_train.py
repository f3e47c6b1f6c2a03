"""The command ``python -m catdog.train``: what a run logs, repeats, returns and refuses."""

from __future__ import annotations

import hashlib
import json
import math
import re
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import Ended, Lab, Run, ended, environment, rows_of
from helpers.photos import pixels

from catdog import train

PER_EPOCH = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "lr")
AT_THE_END = """best/epoch best/val_loss best/val_accuracy
test/loss test/accuracy test/auc test/ece time/features_seconds time/fit_seconds
time/total_seconds""".split()
SUGGESTED = ("lr_range/valley", "lr_range/steep", "lr_range/minimum")
"""All of them or none: the test of 20 small batches may find no fall."""
BY_STEP = ("lr_range/lr", "lr_range/loss", "lr_range/smooth_loss")
ARTIFACTS = """config/resolved.yaml config/overrides.yaml config/environment.txt data/manifest.csv
data/skipped.csv lr_range/curve.png lr_range/curve.html lr_range/curve.csv training/curves.png
training/curves.html checkpoints/best.keras evaluation/confusion_matrix.png
evaluation/predictions.csv evaluation/mistakes.png""".split()


# === one run, and all that it leaves ===


def leaves(config: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{start}{key}.")
        else:
            yield f"{start}{key}", value


def test_every_config_leaf_is_a_param(first: Run) -> None:
    config = yaml.safe_load((first.artifacts / "config/resolved.yaml").read_text())
    wanted = dict(leaves(config))
    assert {"optimizer.lr", "head.dropout", "schedule.name", "threads", "seed"} <= set(wanted)
    for key, value in wanted.items():
        logged = first.params[key]
        assert yaml.safe_load(logged) == value or float(logged) == value, key


def test_weights_and_data_are_known_by_their_hashes(first: Run, lab: Lab) -> None:
    digest = hashlib.sha256(lab.weights.read_bytes()).hexdigest()
    assert first.params["backbone.weights_sha256"] == digest
    assert first.params["backbone.weights_from"].startswith("file")
    manifest = rows_of(first.artifacts / "data/manifest.csv")
    for split in ("train", "val", "test"):
        count = sum(row["split"] == split for row in manifest)
        assert int(first.params[f"data.photos.{split}"]) == count > 0
    assert len(first.params["data.digest"]) == 64
    photo = manifest[0]
    content = (lab.photos / photo["path"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == photo["sha256"]


def test_every_metric_has_its_name_and_steps(first: Run) -> None:
    epochs = int(first.params["trainer.epochs"])
    for name in PER_EPOCH:
        points = first.history(name)
        assert [step for step, _ in points] == list(range(1, epochs + 1)), name
        assert all(math.isfinite(value) for _, value in points), name
    for name in AT_THE_END:
        assert len(first.history(name)) == 1, name
    assert {len(first.history(name)) for name in SUGGESTED} in ({0}, {1})
    for name in BY_STEP:
        steps = [step for step, _ in first.history(name)]
        assert steps == list(range(len(steps))), name
        assert 10 <= len(steps) <= int(first.params["lr_range.steps"]), name
    rates = [value for _, value in first.history("lr_range/lr")]
    assert rates == sorted(rates)


def test_the_best_epoch_is_the_one_of_lowest_validation_loss(first: Run) -> None:
    losses, accuracies = dict(first.history("val/loss")), dict(first.history("val/accuracy"))
    best = int(first.metrics["best/epoch"])
    assert best == min(losses, key=losses.__getitem__)
    assert first.metrics["best/val_loss"] == losses[best]
    assert first.metrics["best/val_accuracy"] == accuracies[best]


def test_system_metrics_are_logged(first: Run) -> None:
    assert len(first.history("system/cpu_utilization_percentage")) >= 1
    assert first.metrics["system/system_memory_usage_megabytes"] > 0


def test_every_artifact_is_there_and_not_empty(first: Run) -> None:
    for name in ARTIFACTS:
        assert (first.artifacts / name).stat().st_size > 0, name
    dirty = first.tags.get("catdog.dirty") == "true"
    assert (first.artifacts / "config/uncommitted.patch").exists() == dirty


@pytest.mark.parametrize("name", ["lr_range/curve.html", "training/curves.html"])
def test_pages_open_without_a_network(first: Run, name: str) -> None:
    page = (first.artifacts / name).read_text()
    assert "<html" in page
    assert not re.findall(r"<script[^>]*\ssrc=|<link\s|@import", page)


def test_pictures_are_pictures(first: Run) -> None:
    from PIL import Image

    for name in [name for name in ARTIFACTS if name.endswith(".png")]:
        with Image.open(first.artifacts / name) as picture:
            picture.load()
            assert min(picture.size) > 100, name


def test_tags_name_and_end(first: Run, lab: Lab) -> None:
    assert first.status == "FINISHED"
    assert first.info.end_time >= first.info.start_time
    assert first.info.run_name == "mobilenet_v2 linear adam lr=3e-3"
    assert first.tags["catdog.kind"] == "run"
    assert first.tags["catdog.command"].startswith("python -m catdog.train data=folder")
    hydra = Path(first.tags["hydra.dir"])
    assert (hydra / ".hydra" / "overrides.yaml").is_file()
    root = Path(train.__file__).parents[1]
    asked = subprocess.run(
        ["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True
    )
    if asked.returncode == 0:
        assert len(first.tags["catdog.commit"]) == 40
        assert first.tags["catdog.dirty"] in ("true", "false")


def test_nothing_is_left_in_the_working_folder(first: Run, lab: Lab) -> None:
    own = {"photos", lab.weights.name, "home", "hydra", "cache", "other", "mlruns"}
    assert {path.name for path in lab.folder.iterdir()} <= own
    assert not list((lab.folder / "home").rglob("best.keras"))
    assert {p.name for p in (lab.folder / "mlruns").iterdir()} == {
        "mlflow.db",
        "mlflow.db.lock",
        "artifacts",
    }


# === the saved model gives the run's own predictions ===


@pytest.fixture(scope="module")
def best(first: Run) -> Any:
    import keras

    return keras.saving.load_model(first.artifacts / "checkpoints/best.keras", compile=False)


@pytest.fixture(scope="module")
def predictions(first: Run, lab: Lab) -> list[tuple[np.ndarray, np.ndarray, str]]:
    """(pixels as Pillow has them, the run's probabilities, label) of every test photo."""
    return [
        (
            pixels(lab.photos / row["path"]),
            np.array([float(row["cat"]), float(row["dog"])]),
            row["label"],
        )
        for row in rows_of(first.artifacts / "evaluation/predictions.csv")
    ]


@pytest.mark.tensorflow
def test_the_model_called_in_a_function_agrees_with_the_predictions(best, predictions) -> None:
    import tensorflow as tf

    spec = tf.TensorSpec((None, None, None, 3), tf.uint8)
    compiled = tf.function(best, input_signature=[spec])
    for photo, expected, _ in predictions:
        assert np.abs(compiled(photo[None]).numpy()[0] - expected).max() < 1e-5


@pytest.mark.tensorflow
def test_the_model_called_and_predict_agree_with_the_predictions(best, predictions) -> None:
    turned = [p for p in predictions if p[0].shape[0] < p[0].shape[1]]
    for photo, expected, _ in [*predictions[:2], *turned[:1]]:
        assert np.abs(best(photo[None]).numpy()[0] - expected).max() < 1e-5
    assert np.abs(best.predict(photo[None], verbose=0)[0] - expected).max() < 1e-5


def test_the_predictions_make_the_score(first: Run, predictions) -> None:
    probabilities = np.array([p for _, p, _ in predictions])
    labels = np.array([("cat", "dog").index(label) for *_, label in predictions])
    assert len(labels) == int(first.params["data.photos.test"])
    assert first.metrics["test/accuracy"] == (probabilities.argmax(1) == labels).mean()
    loss = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    assert first.metrics["test/loss"] == pytest.approx(loss, rel=1e-5)
    assert np.ptp(probabilities[:, 0]) > 0.05, "these photos tell nothing apart: a vacuous test"


@pytest.mark.tensorflow
def test_the_model_is_what_the_contract_says(best, first: Run) -> None:
    assert best.input_shape == (None, None, None, 3)
    assert best.input.dtype == "uint8"
    names = [layer.name for layer in best.layers]
    assert names.index("scaling") < names.index("resizing") < names.index("prefix")
    assert best.get_layer("stored").compute_dtype == first.params["features.dtype"]
    assert not best.compiled
    assert len(first.models) == 1


# === repeats: other threads; test_faults.py pastes a command, test_sweeps.py sweeps ===


def test_two_at_once_and_other_threads_give_the_same_metrics(pair: Mapping[str, Run]) -> None:
    assert [pair[name].params["threads"] for name in ("first", "alone")] == ["2", "1"]
    assert pair["first"].results() == pair["alone"].results()


def test_the_model_is_not_logged_if_not_wanted(pair: Mapping[str, Run]) -> None:
    assert pair["alone"].models == []
    assert (pair["alone"].artifacts / "checkpoints/best.keras").is_file()


# === variants, in one process ===


Ask = Callable[..., tuple[Run, Any]]


@pytest.fixture
def ask(lab: Lab, first: Run) -> Ask:
    """Run in this process; return (run, outcome)."""
    from catdog import experiment, tracking
    from catdog.core.provenance import Provenance

    def run(**changed: object) -> tuple[Run, Any]:
        parts = lab.parts(lr_range__enabled="false", tracking__log_model="never", **changed)
        tracker = tracking.Tracker(uri=lab.uri, experiment="variants", root=lab.folder)
        outcome = experiment.run(*parts, tracker, provenance=Provenance(kind="trial"))
        return Run(tracker.client, tracker.client.get_run(outcome.run_id)), outcome

    return run


def rates(run: Run) -> list[float]:
    return [value for _, value in run.history("lr")]


@pytest.mark.tensorflow
def test_streaming_gives_what_the_cache_gives(ask: Ask, first: Run) -> None:
    run, _ = ask(features__mode="stream")
    for name in (*PER_EPOCH, "test/loss", "test/auc"):
        assert run.history(name) == [
            (step, pytest.approx(value, abs=2e-3)) for step, value in first.history(name)
        ], name
    streamed, cached = (
        [float(row["cat"]) for row in rows_of(r.artifacts / "evaluation/predictions.csv")]
        for r in (run, first)
    )
    assert np.abs(np.subtract(streamed, cached)).max() < 2e-3


@pytest.mark.tensorflow
def test_cosine_balanced_and_the_objective_of_the_best_epoch(ask: Ask) -> None:
    run, outcome = ask(
        schedule="cosine",
        trainer__class_weight="balanced",
        objective__metric="val/accuracy",
        objective__direction="maximize",
    )
    assert rates(run) == sorted(rates(run), reverse=True)
    assert rates(run)[-1] < 1e-4
    assert outcome.objective == run.metrics["best/val_accuracy"]
    assert run.params["trainer.patience"] == "null"


@pytest.mark.tensorflow
def test_one_cycle_with_an_average_of_the_weights(ask: Ask, first: Run) -> None:
    run, outcome = ask(schedule="one_cycle", schedule__warmup_epochs=2, trainer__ema=0.9)
    assert max(rates(run)) in rates(run)[1:3]
    assert outcome.objective == run.metrics["best/val_loss"]
    assert run.history("val/loss") != first.history("val/loss")


@pytest.mark.tensorflow
def test_plateau_with_smoothed_labels_and_both_flips(ask: Ask, lab: Lab) -> None:
    run, _ = ask(
        schedule="plateau",
        schedule__patience=1,
        optimizer="sgd",
        optimizer__lr=30,
        trainer__epochs=12,
        trainer__label_smoothing=0.2,
        evaluation__tta="flip",
        augment="flip",
    )
    assert rates(run)[-1] < 30
    losses = dict(run.history("val/loss"))
    stuck = [step for step in losses if losses[step] > min(losses[s] for s in range(1, step + 1))]
    for step in stuck:
        if step < len(losses):
            assert rates(run)[step] == rates(run)[step - 1] / 2
    stores = sorted((lab.folder / "cache/features").glob("*/recipe.json"))
    assert {yaml.safe_load(p.read_text())["view"] for p in stores} == {"clean", "mirrored"}
    photos = len(rows_of(run.artifacts / "data/manifest.csv"))
    assert [(p.parent / "index.bin").stat().st_size for p in stores] == [36 * photos] * 2


# === what a person gets wrong ===


@dataclass(frozen=True)
class Refusal:
    """What a wrong command was told, and whether TensorFlow was loaded for it."""

    said: Ended
    loaded: bool
    place: Path


REFUSING = """
import contextlib, io, json, os, sys, traceback
from hydra.core.global_hydra import GlobalHydra
from catdog import train

answers = {}
for name, (place, words) in json.load(sys.stdin).items():
    GlobalHydra.instance().clear()
    os.chdir(place)
    sys.argv = ["train", *words]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            train.main()
        except SystemExit as left:
            status = left.code or 0
            if isinstance(status, str):  # what the interpreter does with it
                print(status, file=sys.stderr)
                status = 1
        except BaseException:
            traceback.print_exc()
            status = 1
    answers[name] = [status, out.getvalue(), err.getvalue(), "tensorflow" in sys.modules]
json.dump(answers, sys.stdout)
"""


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory, fonts: Path) -> dict[str, Refusal]:
    """What ``main`` said to every wrong command, all of them in one process."""
    base, asked = tmp_path_factory.mktemp("wrong"), {}
    for name, (make, _) in WRONG.items():
        place = base / name.replace(" ", "-")
        place.mkdir()
        asked[name] = [str(place), here(place, *make(place))]
    env = {
        **environment(base, fonts),
        "CATDOG_KERAS_WEIGHTS_URL": "http://127.0.0.1:9",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    }
    answered = subprocess.run(
        [sys.executable, "-c", REFUSING],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env=env,
    )
    assert answered.returncode == 0, answered.stderr
    return {
        name: Refusal(Ended(status, out, err), loaded, Path(asked[name][0]))
        for name, (status, out, err, loaded) in json.loads(answered.stdout).items()
    }


def here(place: Path, *words: str) -> list[str]:
    """Complete a wrong command so that all it could write lies in the test's folder."""
    own = {
        "features.dir": place / "cache",
        "backbone.weights": "none",
        "tracking.uri": f"sqlite:///{place}/mlruns/mlflow.db",
        "hydra.run.dir": place / "hydra",
    }
    named = {word.partition("=")[0] for word in words}
    return [*words, *(f"{k}={v}" for k, v in own.items() if k not in named)]


def check(result: Ended, wanted: list[str], place: Path) -> None:
    assert result.status == 1
    assert len(result.complaints) == 1, result.err
    assert result.err.rstrip().splitlines()[-1] == result.complaints[0]
    for word in wanted:
        assert word in result.complaints[0], result.complaints[0]
    assert "Traceback" not in result.err
    assert "WARNING" not in result.err
    assert not (place / "mlruns").exists(), "refused, and yet there is an MLflow store"
    left = [p for p in (place / "cache").rglob("*") if p.is_file()]
    assert all(p.parent.name == "index" or p.suffix == ".lock" for p in left), left


def photo(path: Path, seed: int = 0) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(path)


def good_folder(place: Path) -> list[str]:
    for seed in range(8):
        photo(place / "good" / ("cat", "dog")[seed % 2] / f"{seed}.jpg", seed)
    return ["data=folder", f"data.path={place / 'good'}"]


def empty_folder(place: Path) -> list[str]:
    (place / "bare").mkdir()
    return ["data=folder", "data.path=bare"]


def empty_classes(place: Path) -> list[str]:
    for name in ("cat", "dog"):
        (place / "hollow" / name).mkdir(parents=True)
    return ["data=folder", "data.path=hollow"]


def one_class(place: Path) -> list[str]:
    for seed in range(4):
        photo(place / "single" / "cat" / f"{seed}.jpg", seed)
    return ["data=folder", "data.path=single"]


def not_a_zip(place: Path) -> list[str]:
    (place / "fake.zip").write_bytes(b"PK\x03\x04 and nothing else")
    return ["data=folder", "data.path=fake.zip"]


def escaping_zip(place: Path) -> list[str]:
    with zipfile.ZipFile(place / "evil.zip", "w") as archive:
        archive.writestr("cat/1.jpg", b"x")
        archive.writestr("../../escaped.jpg", b"x")
    return ["data=folder", "data.path=evil.zip"]


def cut_zip(place: Path) -> list[str]:
    good_folder(place)
    whole = shutil.make_archive(str(place / "cut"), "zip", place / "good")
    data = bytearray(Path(whole).read_bytes())
    data[200:260] = bytes(60)
    Path(whole).write_bytes(data)
    return ["data=folder", "data.path=cut.zip"]


def bad_photos(place: Path) -> list[str]:
    for number in range(8):
        path = place / "bad" / ("cat", "dog")[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("not a photo")
    return ["data=folder", "data.path=bad"]


def raising_photos(place: Path) -> list[str]:
    words = good_folder(place)
    (place / "good/cat/0.jpg").write_bytes(b"")
    return [*words, "data.on_bad_image=raise"]


def no_kaggle_names(place: Path) -> list[str]:
    good_folder(place)
    return ["data=kaggle", "data.path=good"]


def missing_class(place: Path) -> list[str]:
    return [*good_folder(place), "data.classes=[cat,bird]"]


def blocked_cache(place: Path) -> list[str]:
    (place / "file").write_text("in the way")
    return [*good_folder(place), f"features.dir={place}/file/cache"]


def far_weights(place: Path) -> list[str]:
    words = ["backbone.weights=imagenet", "backbone.weights_source=keras"]
    return [*good_folder(place), *words]


def words(*given: str) -> Callable[[Path], list[str]]:
    return lambda place: list(given)


def no_server(place: Path) -> list[str]:
    return [*good_folder(place), "tracking.uri=http://127.0.0.1:9"]


def no_weights_file(place: Path) -> list[str]:
    return [*good_folder(place), "backbone.weights=w.h5"]


WRONG: dict[str, tuple[Callable[[Path], list[str]], list[str]]] = {
    "typo": (
        words("optimizer.learning_rate=1"),
        ["optimizer.learning_rate", "no such key", "optimizer.lr"],
    ),
    "new key": (words("+optimizer.rate=1"), ["optimizer.rate", "no such key"]),
    "unknown group": (words("optimiser=adam"), ["optimiser", "optimizer"]),
    "key of another": (words("optimizer.momentum=0.9"), ["optimizer.momentum", "optimizer=sgd"]),
    "unknown option": (words("optimizer=adamx"), ["adamx", "adamw"]),
    "dropout": (words("head.dropout=1.4"), ["head.dropout=1.4", "< 1", "head.dropout=0.2"]),
    "rate": (words("optimizer.lr=-1"), ["optimizer.lr=-1", "> 0", "optimizer.lr=0.001"]),
    "text": (words("trainer.epochs=ten"), ["trainer.epochs='ten'", "whole number"]),
    "monitor": (words("trainer.monitor=foo"), ["trainer.monitor=foo", "val/loss", "val/accuracy"]),
    "direction": (
        words("objective.metric=val/accuracy"),
        ["objective.direction", "objective.direction=maximize"],
    ),
    "warm-up": (words("schedule=one_cycle", "trainer.epochs=2"), ["schedule.warmup_epochs=3"]),
    "no value": (words("optimizer.lr"), ["optimizer.lr"]),
    "no path": (words("data=folder"), ["data.path=null", "data.path=<folder or archive>"]),
    "no folder": (words("data=folder", "data.path=nowhere"), ["nowhere", "no such", "data.path"]),
    "no zip": (words("data=folder", "data.path=gone.zip"), ["gone.zip", "no such", "data.path"]),
    "empty folder": (empty_folder, ["bare", "<class>/<photo>"]),
    "empty classes": (empty_classes, ["hollow", "empty"]),
    "one class": (one_class, ["single", "only 1 class", "cat"]),
    "not a zip": (not_a_zip, ["fake.zip", "not a readable zip"]),
    "escaping zip": (escaping_zip, ["evil.zip", "../../escaped.jpg", "outside"]),
    "damaged zip": (cut_zip, ["cut.zip", "cannot be read"]),
    "bad photos": (bad_photos, ["bad", "class cat", "not an image"]),
    "a bad photo": (raising_photos, ["0.jpg", "empty file", "data.on_bad_image=skip"]),
    "other names": (no_kaggle_names, ["good", "cat.0.jpg", "data=folder"]),
    "missing class": (missing_class, ["data.classes", "bird", "cat, dog"]),
    "blocked cache": (blocked_cache, ["features.dir", "file/cache", "cannot be written"]),
    "far weights": (far_weights, ["backbone.weights", "127.0.0.1:9", "backbone.weights=<file>"]),
    "no weights file": (no_weights_file, ["backbone.weights=w.h5", "imagenet"]),
    "no server": (no_server, ["tracking.uri=http://127.0.0.1:9", "tracking.uri=sqlite"]),
}
REAL = ("typo", "unknown option", "dropout", "no folder", "monitor", "no value")


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_gets_one_message_before_tensorflow_loads(
    case: str, refusals: dict[str, Refusal]
) -> None:
    refusal = refusals[case]
    check(refusal.said, WRONG[case][1], refusal.place)
    assert not refusal.loaded
    assert not list(refusal.place.parents[1].rglob("escaped.jpg"))


@pytest.mark.parametrize("case", REAL)
def test_a_real_command_is_refused_as_quickly(case: str, tmp_path: Path) -> None:
    make, wanted = WRONG[case]
    command = [sys.executable, "-m", "catdog.train", *here(tmp_path, *make(tmp_path))]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    asked = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    check(ended(asked), wanted, tmp_path)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 2


def test_hydra_full_error_shows_the_traceback(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    command = [sys.executable, "-m", "catdog.train", *here(tmp_path, "optimizer.lr=-1")]
    asked = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert asked.returncode == 1
    assert "Traceback" in asked.stderr
    assert "optimizer.lr=-1" in asked.stderr


@pytest.mark.parametrize(
    ("override", "kept"),
    [
        ("data.path=photos", False),
        ("backbone.weights=photos", False),
        ("data.path=/photos", True),
        ("data.path=gone", True),
        ("optimizer.lr=photos", True),
        ("data.path=", True),
    ],
)
def test_the_command_names_files_in_full(override: str, kept: bool) -> None:
    from catdog.cli.typed import absolute

    Path("photos").mkdir()
    wanted = override if kept else f"{override.split('=')[0]}={Path('photos').absolute()}"
    assert absolute(override) == wanted
