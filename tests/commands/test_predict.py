"""The command: photos, folders and zips in; a table, CSV or JSON out, and an exit code."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Ended, Lab, Run, environment, rows_of

from catdog import predict
from catdog.tracking import Tracker


@dataclass(frozen=True)
class Photos:
    """A folder of test photos with three broken files in it."""

    folder: Path
    good: list[str]
    broken: dict[str, str]


@pytest.fixture(scope="module")
def mixed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Photos:
    """Photos of all kinds: turned by EXIF, 16-bit PNG, TIFF, and some that are none."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("mixed") / "mixed"
    (folder / "deep/er").mkdir(parents=True)
    names = ["0.jpg", "1.jpg", "deep/6.jpg", "deep/er/7.jpg"]
    for name in names:
        shutil.copy(lab.photos / "cat" / Path(name).name, folder / name)
    shutil.copy(lab.photos / "dog/deep.png", folder / "deep/sixteen.png")
    Image.open(lab.photos / "dog/3.jpg").save(folder / "scan.tif")
    (folder / ".hidden.jpg").write_bytes(b"no photo")
    (folder / "empty.jpg").touch()
    (folder / "cut.jpg").write_bytes((lab.photos / "cat/0.jpg").read_bytes()[:900])
    (folder / "notes.txt").write_text("not a photo at all")
    broken = {"empty.jpg": "empty file", "cut.jpg": "damaged: ", "notes.txt": "not an image"}
    good = ["0.jpg", "1.jpg", "scan.tif", "deep/6.jpg", "deep/sixteen.png", "deep/er/7.jpg"]
    return Photos(folder, good, broken)


@pytest.fixture
def run(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ended]:
    """Run the command in this process."""

    def call(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["predict.py", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            predict.main()
        out, err = capfd.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return call


@pytest.fixture(scope="module")
def by_hand(first: Run) -> Callable[..., np.ndarray]:
    """What best.keras says of photos that Pillow opened and turned."""
    import keras
    from PIL import Image, ImageOps

    best = keras.saving.load_model(first.artifacts / "checkpoints/best.keras", compile=False)

    def ask(path: Path, *, mirrored: bool = False) -> np.ndarray:
        with Image.open(path) as photo:
            upright = ImageOps.exif_transpose(photo)
            if upright.mode.startswith("I"):  # 16 bits
                upright = Image.fromarray((np.asarray(upright) // 257).astype(np.uint8))
            pixels = np.asarray(upright.convert("RGB"))
        return best(pixels[None, :, ::-1] if mirrored else pixels[None]).numpy()[0]

    return ask


def probabilities(rows: list[dict[str, str]]) -> np.ndarray:
    return np.array([[float(row["cat"]), float(row["dog"])] for row in rows])


# === the command itself ===


@pytest.fixture(scope="module")
def asked(first: Run, lab: Lab, mixed: Photos, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A real process that was asked about a folder, from the folder beside it."""
    home = tmp_path_factory.mktemp("home")
    words = [
        "mixed",
        "--model",
        first.id,
        "--uri",
        lab.uri,
        "--format",
        "csv",
        "--batch-size",
        "4",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "catdog.predict", *words],
        cwd=mixed.folder.parent,
        env=environment(home, lab.fonts),
        capture_output=True,
        text=True,
        timeout=120,
    )
    left = {path.name for path in home.rglob("*")} - {".keras", "keras.json"}
    assert not left, f"it wrote to the home folder: {left}"
    return Ended(done.returncode, done.stdout, done.stderr)


def test_a_folder_gives_a_row_per_photo(
    asked: Ended, mixed: Photos, by_hand: Callable[..., np.ndarray]
) -> None:
    lines = asked.out.splitlines()
    assert lines[0] == "path,class,probability,cat,dog"
    rows = list(csv.DictReader(lines))
    assert [row["path"] for row in rows] == [f"mixed/{name}" for name in mixed.good]
    expected = np.array([by_hand(mixed.folder / name) for name in mixed.good])
    assert expected.std() > 0.01, "a vacuous model"
    assert np.abs(probabilities(rows) - expected).max() < 1e-5
    for row, values in zip(rows, expected, strict=True):
        assert row["class"] == ("cat", "dog")[values.argmax()]
        assert row["probability"] == row[row["class"]]


def test_what_is_no_photo_is_listed_and_the_exit_code_says_so(asked: Ended, mixed: Photos) -> None:
    assert asked.status == 3
    for name, problem in mixed.broken.items():
        assert f"skipped mixed/{name}: {problem}" in asked.err
    assert "3 of 9 files were skipped" in asked.err
    assert "hidden" not in asked.out + asked.err


def test_stderr_says_which_model_it_was_and_nothing_of_tensorflow(
    asked: Ended, first: Run
) -> None:
    looking, loading, first_line, *others = asked.err.splitlines()
    assert (looking, loading) == ("Looking for the model ...", "Loading TensorFlow ...")
    assert first_line.startswith(f"model: run {first.id[:8]}, mobilenet_v2 linear adam lr=3e-3, ")
    assert all(line.startswith(("skipped ", "3 of 9 ")) for line in others), asked.err


@pytest.mark.tensorflow
def test_it_says_what_the_run_said_of_its_test_photos(
    first: Run, lab: Lab, run: Callable[..., Ended], tmp_path: Path
) -> None:
    known = rows_of(first.artifacts / "evaluation/predictions.csv")
    names = [lab.photos / row["path"] for row in known]
    out = tmp_path / "answers.csv"
    assert run(*names, "--uri", lab.uri, "--model", first.id[:8], "--out", out).status == 0
    rows = rows_of(out)
    assert [row["path"] for row in rows] == list(map(str, names))
    assert [row["class"] for row in rows] == [row["class"] for row in known]
    assert np.abs(probabilities(rows) - probabilities(known)).max() < 1e-5


# === what it reads ===


@pytest.mark.tensorflow
def test_a_zip_is_read_like_its_folder(
    first: Run, lab: Lab, mixed: Photos, asked: Ended, run: Callable[..., Ended], tmp_path: Path
) -> None:
    with zipfile.ZipFile("Photos.ZIP", "w") as packed:
        for name in [*mixed.good, *mixed.broken]:
            packed.write(mixed.folder / name, f"in/{name}")
    said = run("Photos.ZIP", "--uri", lab.uri, "--model", first.id, "--format", "csv")
    assert said.status == 3
    assert said.out == asked.out.replace("mixed/", "Photos.ZIP/in/")
    assert "skipped Photos.ZIP/in/empty.jpg: empty file" in said.err


@pytest.mark.tensorflow
def test_photos_are_answered_in_the_order_given_as_often_as_given(
    first: Run, lab: Lab, run: Callable[..., Ended]
) -> None:
    names = [lab.photos / name for name in ("dog/2.jpg", "cat/4.jpg", "dog/2.jpg")]
    said = run(*names, "--uri", lab.uri, "--model", first.id, "--format", "json")
    rows = json.loads(said.out)
    assert [row["path"] for row in rows] == list(map(str, names))
    assert rows[0] == rows[2]
    for row in rows:
        assert set(row) == {"path", "class", "probability", "probabilities"}
        assert row["probability"] == row["probabilities"][row["class"]]
        assert sum(row["probabilities"].values()) == pytest.approx(1)


@pytest.mark.tensorflow
def test_a_table_for_people(
    first: Run, lab: Lab, run: Callable[..., Ended], by_hand: Callable[..., np.ndarray]
) -> None:
    shutil.copy(lab.photos / "cat/1.jpg", "cat.jpg")
    shutil.copy(lab.photos / "dog/1.jpg", "dog of mine.jpg")
    said = run("cat.jpg", "dog of mine.jpg", "--uri", lab.uri, "--model", first.id)
    assert said.status == 0
    cat, dog = (by_hand(Path(name)) for name in ("cat.jpg", "dog of mine.jpg"))
    assert said.out.splitlines() == [
        "path             class  probability",
        f"cat.jpg          {('cat', 'dog')[cat.argmax()]}    {cat.max():.4f}",
        f"dog of mine.jpg  {('cat', 'dog')[dog.argmax()]}    {dog.max():.4f}",
    ]


@pytest.mark.tensorflow
def test_a_name_that_is_no_utf8_is_skipped_not_a_crash(
    first: Run, lab: Lab, run: Callable[..., Ended]
) -> None:
    os.mkdir("odd")
    shutil.copy(lab.photos / "cat/1.jpg", b"odd/caf\xe9.jpg")
    shutil.copy(lab.photos / "cat/1.jpg", "odd/über \U0001f431.jpg")
    said = run("odd", "--uri", lab.uri, "--model", first.id, "--format", "csv")
    assert said.status == 3
    assert (
        "skipped odd/caf\\udce9.jpg: TensorFlow reads only files whose name is UTF-8" in said.err
    )
    assert "odd/über \U0001f431.jpg," in said.out


# === models ===


@pytest.fixture
def flipped(first: Run, tracker: Tracker) -> str:
    """A run that was evaluated with mirror images, and the words that name it."""
    made = tracker.create("flipped", {"catdog.kind": "run"})
    made.params({"evaluation.tta": "flip"})
    made.metrics({"best/val_loss": 0.25})
    made.flush()
    made.dataset("folder", "digest", '{"classes": ["cat", "dog"]}', "{}")
    with made.folder("checkpoints") as place:
        shutil.copy(first.artifacts / "checkpoints/best.keras", place)
    made.end("FINISHED")
    return made.run_id


@pytest.mark.tensorflow
def test_without_a_name_it_asks_the_experiments_best_run(
    flipped: str, tracker: Tracker, lab: Lab, run: Callable[..., Ended]
) -> None:
    other = tracker.create("worse, and without a model", {"catdog.kind": "run"})
    other.metrics({"best/val_loss": 0.5})
    other.end("FINISHED")
    store = ["--uri", tracker.uri, "--experiment", tracker.experiment]
    said = run(lab.photos / "cat/0.jpg", *store)
    assert said.status == 0
    assert f"\nmodel: best of 2 runs: run {flipped[:8]}, flipped, val/loss 0.25" in said.err


@pytest.mark.tensorflow
def test_a_runs_own_tta_holds_unless_told_otherwise(
    flipped: str,
    tracker: Tracker,
    lab: Lab,
    run: Callable[..., Ended],
    by_hand: Callable[..., np.ndarray],
) -> None:
    names = [lab.photos / "cat/1.jpg", lab.photos / "dog/6.jpg"]
    store = ("--uri", tracker.uri, "--model", flipped, "--format", "csv")
    plain = np.array([by_hand(name) for name in names])
    both = (plain + [by_hand(name, mirrored=True) for name in names]) / 2
    assert np.abs(plain - both).max() > 1e-4, "symmetric photos"
    said = run(*names, *store)
    assert "tta flip" in said.err
    assert np.abs(probabilities(list(csv.DictReader(io.StringIO(said.out)))) - both).max() < 1e-5
    said = run(*names, *store, "--tta", "none")
    assert "tta" not in said.err
    assert np.abs(probabilities(list(csv.DictReader(io.StringIO(said.out)))) - plain).max() < 1e-5


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("words", "beside", "columns"),
    [
        ([], None, "0,1"),
        (["--classes", "chat,chien"], None, "chat,chien"),
        ([], '["gato", "perro"]', "gato,perro"),
        (["--classes", "chat,chien"], '["gato", "perro"]', "chat,chien"),
    ],
    ids=["numbers", "named", "beside", "named over beside"],
)
def test_a_file_takes_its_classes_from_where_they_are(
    words: list[str],
    beside: str | None,
    columns: str,
    first: Run,
    lab: Lab,
    run: Callable[..., Ended],
) -> None:
    shutil.copy(first.artifacts / "checkpoints/best.keras", "model.keras")
    if beside:
        Path("classes.json").write_text(beside)
    said = run(lab.photos / "cat/1.jpg", "--model", "model.keras", "--format", "csv", *words)
    assert said.status == 0
    assert said.out.splitlines()[0] == f"path,class,probability,{columns}"


def save_lambda(path: Path) -> None:
    import keras

    photo = keras.Input((None, None, 3), dtype="uint8")
    x = keras.layers.Lambda(lambda pixels: open("ran", "w") and pixels, (None, None, 3))(photo)
    keras.Model(photo, x).save(path)


def save_other(path: Path) -> None:
    import keras

    photo = keras.Input((8, 8, 3))
    keras.Model(photo, keras.layers.Flatten()(photo)).save(path)


def save_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("config.json", "{}")


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text("hello"), "model.keras: not a Keras model"),
        (lambda path: path.touch(), "model.keras: not a Keras model"),
        (save_zip, "model.keras: Keras cannot load it"),
        (save_lambda, "contains code (such as a Lambda layer), which was not run"),
        (save_other, "this Keras model was not saved by catdog"),
    ],
    ids=["text", "empty", "zip", "lambda", "another model"],
)
def test_a_file_that_is_no_model_of_ours_is_one_message(
    make: Callable[[Path], object], message: str, lab: Lab, run: Callable[..., Ended]
) -> None:
    make(Path("model.keras"))
    Path("ran").unlink(missing_ok=True)
    said = run(lab.photos / "cat/1.jpg", "--model", "model.keras")
    assert (said.status, said.out) == (1, "")
    (line,) = [one for one in said.err.splitlines() if not one.endswith(" ...")]
    assert line.startswith("catdog: ")
    assert message in line
    assert not Path("ran").exists(), "the file's code ran"


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        *(pytest.param(value, marks=pytest.mark.slow) for value in (float("inf"), 3e38)),
    ],
)
def test_a_model_that_is_not_finite_is_refused(
    value: float, first: Run, lab: Lab, run: Callable[..., Ended]
) -> None:
    """An earlier version saved such models; what they say is always the first class."""
    import keras

    model = keras.saving.load_model(first.artifacts / "checkpoints/best.keras", compile=False)
    weights = model.get_weights()
    weights[-2][:] = value  # the head's kernel; finite ones may overflow
    model.set_weights(weights)
    model.save("model.keras")
    said = run(lab.photos / "cat/1.jpg", "--model", "model.keras")
    assert said.status == 1
    (line,) = said.complaints
    assert "finite" in line and "smaller optimizer.lr or with optimizer.clipnorm=1" in line


@pytest.mark.tensorflow
def test_too_many_class_names_are_refused(first: Run, lab: Lab, run: Callable[..., Ended]) -> None:
    words = ("--uri", lab.uri, "--model", first.id, "--classes", "a,b,c")
    said = run(lab.photos / "cat/1.jpg", *words)
    assert said.status == 1
    assert "--classes=a,b,c: " in said.err
    assert "has 2 classes" in said.err


# === what cannot be answered ===


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone.jpg"], "gone.jpg: there is no such file or folder"),
        (["empty"], "empty: there is no photo in it"),
        (["bad.zip"], "bad.zip: not a readable zip archive"),
        (["bare.zip"], "bare.zip: there is no photo in it"),
        (["a.jpg", "--out", "nowhere/a.csv"], "nowhere/a.csv: cannot be written (No such file"),
        (["a.jpg", "--explain", "a.jpg"], "a.jpg: cannot be made (File exists)"),
        (["a.jpg", "--model", "gone.keras"], "gone.keras: there is no such file"),
        (["a.jpg", "--uri", "sqlite:///gone.db"], "gone.db: no run was logged"),
        (["a.jpg", "--experiment", "x"], "--experiment=x: no such experiment"),
        (["a.jpg", "--model", "models:/x@champion"], "--model=models:/x@champion: "),
    ],
)
def test_an_error_is_one_message(
    words: list[str], message: str, shared_store: str, run: Callable[..., Ended]
) -> None:
    Path("empty").mkdir()
    Path("empty/.DS_Store").touch()
    Path("a.jpg").touch()
    Path("bad.zip").write_text("no zip")
    zipfile.ZipFile("bare.zip", "w").close()
    if "--uri" not in words:
        words = [*words, "--uri", shared_store, *([] if "--experiment" in words else EXISTING)]
    said = run(*words)
    assert (said.status, said.out) == (1, "")
    (line,) = said.complaints
    assert line.startswith("catdog: ") and message in line, line


EXISTING = ["--experiment", "Default"]


@pytest.mark.tensorflow
def test_an_error_leaves_no_half_written_file(
    first: Run, lab: Lab, run: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    from catdog.inference import classifier

    Path("answers.csv").write_text("older answers")

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(classifier, "_batches", interrupted)
    words = ("--uri", lab.uri, "--model", first.id, "--out", "answers.csv")
    said = run(lab.photos / "cat/1.jpg", *words)
    assert said.status == 130
    assert "catdog: interrupted" in said.err
    assert Path("answers.csv").read_text() == "older answers"
    assert {path.name for path in Path().iterdir()} == {"answers.csv", "home"}


@pytest.mark.tensorflow
def test_a_photo_that_goes_away_meanwhile_costs_only_itself(
    first: Run, lab: Lab, tmp_path: Path
) -> None:
    from catdog.inference import classifier

    model = classifier.load(first.artifacts / "checkpoints/best.keras", ("cat", "dog"))
    files, bad = [], []
    for number in range(12):
        files.append((str(tmp_path / f"{number}.jpg"), str(number)))
        shutil.copy(lab.photos / f"cat/{number}.jpg", files[-1][0])
    checked = classifier.scan.check

    def check(path: str, place: Path) -> Any:
        verdict = checked(path, place)
        if path.endswith(("/5.jpg", "/9.jpg")):
            os.remove(path)
        return verdict

    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(classifier.scan, "check", check)
        predictions = list(
            model.predictions(
                files, views=1, batch_size=4, scratch=tmp_path / "scratch",
                on_bad=lambda name, problem: bad.append((name, problem)),
            )
        )  # fmt: skip
    read = [photo.path for some, _ in predictions for photo in some]
    assert read == [str(n) for n in range(12) if n not in (5, 9)]
    assert [name for name, _ in bad] == ["5", "9"]
    assert all("was removed or changed" in problem for _, problem in bad)


@pytest.mark.tensorflow
def test_many_blocks_give_the_predictions_of_one(
    first: Run, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from catdog.inference import classifier

    model = classifier.load(first.artifacts / "checkpoints/best.keras")
    names = ["cat/0.jpg", "dog/deep.png", "cat/1.jpg", "dog/deep.png", "dog/5.jpg"]
    files = [(str(lab.photos / name), name) for name in names]
    found = {}
    for block in (512, 2, 1):
        monkeypatch.setattr(classifier, "BLOCK", block)
        predictions = model.predictions(
            files, views=2, batch_size=3, scratch=tmp_path / "scratch", on_bad=pytest.fail
        )
        some, values = zip(*predictions, strict=True)
        assert [photo.path for part in some for photo in part] == names
        found[block] = np.concatenate(values)
    assert (found[512] == found[2]).all()
    assert (found[512] == found[1]).all()
    assert not list((tmp_path / "scratch").rglob("*.png")), "copies are left behind"


# === help and overlays ===


def test_help_comes_at_once_and_tells_the_exit_codes() -> None:
    code = "from catdog.cli import main; main()"
    command = [sys.executable, "-X", "importtime", "-c", code, "predict", "--help"]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert asked.returncode == 0, asked.stderr[-2000:]
    assert asked.stdout.startswith("usage: catdog predict ")
    assert "3 some were skipped" in asked.stdout
    loaded = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in asked.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert not loaded & {"tensorflow", "keras", "mlflow", "optuna", "numpy", "pandas", "PIL"}


@pytest.mark.tensorflow
def test_explain_writes_a_picture_per_photo(
    first: Run, lab: Lab, mixed: Photos, run: Callable[..., Ended]
) -> None:
    from PIL import Image

    words = ("--uri", lab.uri, "--model", first.id, "--explain", "why/there")
    assert run(mixed.folder, *words).status == 3
    pictures = sorted(Path("why/there").iterdir())
    stems = [Path(name).stem for name in mixed.good]
    assert [path.name.split("-")[:2] for path in pictures] == [
        [f"{number:05d}", stem] for number, stem in enumerate(stems, 1)
    ]
    for path in pictures:
        with Image.open(path) as picture:
            picture.load()
            assert (picture.format, max(picture.size)) == ("JPEG", 512)
