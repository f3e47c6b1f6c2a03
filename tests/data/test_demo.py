"""The demo pictures: the same every time, complete or not there, and no colour tells the class."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from catdog.data import demo
from catdog.data.demo_faces import CLASSES, draw
from catdog.errors import DataError

ROOT = Path(demo.__file__).parents[2]


def drawing_process(folder: Path, per_class: int) -> subprocess.Popen[str]:
    code = (
        "import sys; from pathlib import Path; from catdog.data.demo import ensure; "
        "ensure(Path(sys.argv[1]), per_class=int(sys.argv[2]), notify=print)"
    )
    command = [sys.executable, "-c", code, str(folder), str(per_class)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.jpg"))}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return contents(demo.ensure(tmp_path_factory.mktemp("reference"), per_class=3))


@pytest.mark.parametrize("label", CLASSES)
def test_a_picture_depends_on_label_and_seed_only(label: str) -> None:
    first, again = draw(label, 7), draw(label, 7)
    assert first.tobytes() == again.tobytes()
    others = [draw(name, seed, first.size) for name in CLASSES for seed in (7, 8)]
    assert len({picture.tobytes() for picture in others}) == 4


@settings(max_examples=25, deadline=None)
@given(
    label=st.sampled_from(CLASSES),
    seed=st.integers(0, 2**40),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
)
def test_any_seed_and_size_can_be_drawn(label: str, seed: int, size: tuple[int, int]) -> None:
    picture = draw(label, seed, size)
    assert (picture.size, picture.mode) == (size, "RGB")


def test_sizes_vary_as_those_of_photos_do() -> None:
    sizes = np.array([draw("dog", seed).size for seed in range(30)])
    assert 140 <= sizes.min() and sizes.max() <= 360
    ratios = sizes[:, 0] / sizes[:, 1]
    assert ratios.min() < 0.85 and ratios.max() > 1.2


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(ValueError, match="'bird'.*cat, dog"):
        draw("bird", 0)


def test_the_data_set_is_balanced_and_every_file_opens(tmp_path: Path) -> None:
    folder = demo.ensure(tmp_path, per_class=5, seed=2)
    assert folder == tmp_path / f"{demo.VERSION}-2-5"
    assert sorted(entry.name for entry in folder.iterdir()) == ["cat", "dog"]
    for label in CLASSES:
        files = sorted((folder / label).iterdir())
        assert [file.name for file in files] == [f"000{number}.jpg" for number in range(5)]
        for file in files:
            with Image.open(file) as picture:
                picture.load()
                assert (picture.format, picture.mode) == ("JPEG", "RGB")


def test_same_seed_same_files_and_another_seed_shares_none(
    tmp_path: Path, reference: dict[str, bytes]
) -> None:
    assert contents(demo.ensure(tmp_path, per_class=3)) == reference
    other = contents(demo.ensure(tmp_path, per_class=3, seed=1))
    assert len({*reference.values(), *other.values()}) == 12


def test_a_complete_data_set_is_left_alone(tmp_path: Path) -> None:
    said: list[str] = []
    place = tmp_path / "demo"
    folder = demo.ensure(place, per_class=2, notify=said.append)
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*.jpg")}
    Path(f"{folder}.lock").unlink(missing_ok=True)
    demo.ensure(place, per_class=2, notify=said.append)
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*.jpg")} == before
    assert list(place.iterdir()) == [folder], "a read-only data set must do, without a lock"
    assert len(said) == 1 and "4 demo pictures" in said[0]


@pytest.mark.parametrize("damage", ["missing file", "empty file", "missing class", "leftovers"])
def test_an_incomplete_data_set_is_drawn_again(
    damage: str, tmp_path: Path, reference: dict[str, bytes]
) -> None:
    folder = demo.ensure(tmp_path, per_class=3)
    if damage == "empty file":
        (folder / "cat" / "0001.jpg").write_bytes(b"")
    elif damage == "missing file":
        (folder / "dog" / "0002.jpg").unlink()
    elif damage == "missing class":
        (folder / "dog").rename(tmp_path / "elsewhere")
    else:
        (folder / "cat").rename(tmp_path / "elsewhere")
        for name in ("partial", "old"):
            (tmp_path / f"{folder.name}.{name}" / "cat").mkdir(parents=True)
            (tmp_path / f"{folder.name}.{name}" / "cat" / "0009.jpg").write_bytes(b"half")
    assert contents(demo.ensure(tmp_path, per_class=3)) == reference
    assert not list(tmp_path.glob("*.partial")) and not list(tmp_path.glob("*.old"))


def test_a_killed_drawing_leaves_no_half_data_set(tmp_path: Path) -> None:
    target = tmp_path / f"{demo.VERSION}-0-25"
    process = drawing_process(tmp_path, 25)
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("0003.jpg")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert list(tmp_path.rglob("0003.jpg")) and not target.exists()
    assert len(contents(demo.ensure(tmp_path, per_class=25))) == 50


def test_two_processes_at_once_draw_one_data_set(
    tmp_path: Path, reference: dict[str, bytes]
) -> None:
    processes = [drawing_process(tmp_path, 12) for _ in range(2)]
    said = [process.communicate(timeout=100)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(line.startswith("Drawing 24") for line in said) == [False, True]
    files = contents(tmp_path / f"{demo.VERSION}-0-12")
    assert len(files) == 24 and reference.items() <= files.items()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match=r"file.*cannot be kept here.*Choose a folder"):
        demo.ensure(tmp_path / "file", per_class=1)


@pytest.mark.parametrize(("per_class", "seed"), [(0, 0), (100_001, 0), (1, -1)])
def test_numbers_out_of_range_are_refused(per_class: int, seed: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected 1 <= per_class"):
        demo.ensure(tmp_path, per_class=per_class, seed=seed)


def test_colour_does_not_tell_the_class() -> None:
    pictures = [draw(label, seed, (64, 64)) for label in CLASSES for seed in range(120)]
    pixels = np.stack([np.asarray(picture, dtype=float) for picture in pictures])
    faces = pixels[:, 16:48, 16:48]
    colours = np.concatenate([pixels.mean((1, 2)), faces.mean((1, 2))], axis=1)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    accuracy = cross_val_score(model, colours, np.repeat([0, 1], 120), cv=5).mean()
    assert accuracy < 0.62
