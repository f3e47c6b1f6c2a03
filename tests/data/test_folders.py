"""What people's folders mean: which are splits, which are classes, and what is left out."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from catdog.cli import inputs
from catdog.data import prepare
from catdog.data.folders import find_by_name, find_in_folders, walk
from catdog.data.manifest import Manifest, Photo
from catdog.errors import DataError
from catdog.inference import files
from catdog.progress import Progress
from catdog.settings import Data


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "in"  # beside the home folder of the tests


def fill(folder: Path, count: int = 3, start: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(start, start + count):
        Image.new("RGB", (8, 8), (i % 256, i // 256, len(folder.name))).save(folder / f"{i}.png")


def understood(root: Path) -> set[tuple[str, str | None]]:
    return {(item.label, item.split) for item in find_in_folders(root)}


def read(root: Path, cache: Path) -> Manifest:
    return prepare(Data(name="folder", path=str(root)), cache, Progress(), 2)


@pytest.mark.parametrize(
    ("train", "other", "split"),
    [
        ("Training", "Testing", "test"),
        ("training_set/training_set", "test_set/test_set", "test"),
        ("training_set/training_set", "test_set", "test"),
        ("train", "dev", "val"),
        ("Train-Images", "Valid Images", "val"),
        ("train2017", "val2017", "val"),
        ("TRAIN", "Tests", "test"),
        ("train", "validation_data", "val"),
        ("train_split", "eval", "val"),
    ],
)
def test_split_folders_are_no_classes(root: Path, train: str, other: str, split: str) -> None:
    for label in ("cat", "dog"):
        fill(root / train / label)
        fill(root / other / label)
    assert understood(root) == {(c, s) for c in ("cat", "dog") for s in ("train", split)}


def test_splits_inside_of_class_folders_are_splits(root: Path) -> None:
    for place in ("cat/train", "cat/test", "dog/train", "dog/test"):
        fill(root / place)
    assert understood(root) == {(c, s) for c in ("cat", "dog") for s in ("train", "test")}


def test_photos_without_labels_are_left_out_by_name(root: Path) -> None:
    said: list[str] = []
    for place in ("train/cat", "train/dog", "test1"):
        fill(root / place)
    found = find_in_folders(root, said.append)
    assert {(item.label, item.split) for item in found} == {("cat", "train"), ("dog", "train")}
    assert said == ["Left out test1: no class folders in it, so 3 files no label"]


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (("train/cat", "train/dog", "extra"), "If train are splits, .*if they are classes"),
        (("train", "test", "other"), r"\(test, train\) stand beside other folders \(other\)"),
        (("train", "test"), "As a split: train/<class>/<photo>; if train is a class"),
    ],
)
def test_what_is_not_clear_is_refused_with_both_readings(
    root: Path, places: tuple[str, ...], message: str
) -> None:
    for place in places:
        fill(root / place)
    with pytest.raises(DataError, match=message):
        find_in_folders(root)


def test_a_single_folder_is_looked_into_but_not_without_a_word(root: Path) -> None:
    said: list[str] = []
    fill(root / "cat/indoor")
    fill(root / "cat/outdoor")
    find_in_folders(root, said.append)
    assert said[0].startswith("cat is the only folder: the folders in it are the classes")


def test_a_link_to_its_own_folder_adds_no_photos(root: Path) -> None:
    fill(root / "cat")
    (root / "cat/loop").symlink_to(".")
    (root / "cat/up").symlink_to("..")
    assert len(walk(str(root / "cat"))) == 3
    assert len(files.find([str(root / "cat")], Progress())) == 3


def test_what_systems_put_beside_photos_is_ignored(root: Path) -> None:
    for place in ("cat", "dog", "@eaDir", "cat/@eaDir/0.png", "#recycle", "$RECYCLE.BIN",
                  "cat/.thumbnails", "dog/.AppleDouble", "__MACOSX"):  # fmt: skip
        fill(root / place)
    (root / "dog/Thumbs.db").touch()
    assert Counter(item.label for item in find_in_folders(root)) == {"cat": 3, "dog": 3}
    assert len(files.find([str(root)], Progress())) == 6


def test_an_empty_class_folder_is_told(root: Path) -> None:
    said: list[str] = []
    fill(root / "cat")
    fill(root / "dog")
    (root / "bird").mkdir()
    find_in_folders(root, said.append)
    assert said == ["'bird' is an empty folder, so there is no such class"]


def test_two_ways_to_write_an_accent_are_one_class(root: Path) -> None:
    fill(root / "train" / unicodedata.normalize("NFC", "café"))
    fill(root / "val" / unicodedata.normalize("NFD", "café"))
    assert understood(root) == {("café", "train"), ("café", "val")}


def test_two_accents_in_one_folder_are_one_class_and_told(root: Path) -> None:
    said: list[str] = []
    for form in ("NFC", "NFD"):
        fill(root / unicodedata.normalize(form, "café"))
    fill(root / "bar")
    found = find_in_folders(root, said.append)
    assert Counter(item.label for item in found) == {"café": 6, "bar": 3}
    assert said == ["'café' is there with composed and with decomposed accents: one class"]


@pytest.mark.parametrize(("classes", "name"), [((), "Cat"), (("cat", "dog"), "cat")])
def test_capitals_that_differ_between_splits_are_one_class(
    root: Path, classes: tuple[str, ...], name: str
) -> None:
    said: list[str] = []
    for place in ("train/Cat", "test/cat", "train/dog", "test/dog"):
        fill(root / place)
    found = find_in_folders(root, said.append, classes)
    assert {(item.label, item.split) for item in found} == {
        (label, split) for label in (name, "dog") for split in ("train", "test")
    }
    assert said == [f"'Cat' and 'cat' differ only in capitals: one class, {name!r}"]


def test_capitals_that_differ_within_a_folder_are_asked_about(root: Path) -> None:
    for place, start in (("A", 0), ("a", 100), ("b", 200)):
        fill(root / place, 4, start)
    with pytest.raises(DataError, match=r"A, a differ only in capitals\. If they are one class"):
        find_in_folders(root)
    choice = Data(name="folder", path=str(root), classes=("A", "a", "b"))
    built = prepare(choice, root.parent / "cache", Progress(), 2)
    assert built.classes == ("A", "a", "b") and len(built.photos) == 12


def test_classes_in_file_names_are_joined_whatever_their_capitals(root: Path) -> None:
    root.mkdir()
    for index, label in enumerate(("cat", "Cat", "dog", "caf\u00e9", "cafe\u0301")):
        for k in range(3):
            Image.new("RGB", (8, 8), (k, index, 0)).save(root / f"{label}.{index * 10 + k}.png")
    Image.new("RGB", (8, 8)).save(root / "17.png")
    said: list[str] = []
    labels = Counter(item.label for item in find_by_name(root, said.append))
    assert labels == {"Cat": 6, "dog": 3, "caf\u00e9": 6}
    assert said[0] == "Left out 1 photos: not named like cat.0.jpg, so they have no label"
    assert len(said) == 3


def test_photos_beside_class_folders_are_told(root: Path) -> None:
    said: list[str] = []
    for place in ("train/cat", "train/dog", "train", "test/cat", "test/dog"):
        fill(root / place)
    (root / "train/labels.csv").touch()
    (root / "train/._a.jpg").touch()
    find_in_folders(root, said.append)
    assert said == ["Left out 3 photos in train itself: they are in no class folder"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("0.png", "no class folders in it, only 1 photos. .* catdog.predict needs no classes"),
        ("train.tar.gz", r"no class folders in it, but archives \(train.tar.gz\). Unpack them"),
        ("a.csv", r"no class folders in it\. Expected <class>/<photo>"),
    ],
)
def test_what_is_there_instead_of_class_folders_is_told(
    root: Path, name: str, message: str
) -> None:
    root.mkdir()
    (root / name).touch()
    with pytest.raises(DataError, match=message):
        find_in_folders(root)


@pytest.mark.parametrize("counts", [{"cat": 10}, {"cat": 1, "dog": 1}, {"cat": 2}])
def test_any_number_of_photos_can_be_evaluated(root: Path, counts: dict[str, int]) -> None:
    for index, (label, count) in enumerate(counts.items()):
        fill(root / label, count, 100 * index)
    choice = Data(name="folder", path=str(root), classes=("dog", "cat"))
    for data in (choice, Data(name="folder", path=str(root))):
        built = prepare(data, root.parent / "cache", Progress(), 2, to_train=False)
        assert Counter(built.classes[photo.label] for photo in built.photos) == counts
        with pytest.raises(DataError):
            prepare(data, root.parent / "cache", Progress(), 2)


def test_a_given_split_without_a_class_stays_without_it(root: Path) -> None:
    for place, start in (("train/cat", 0), ("train/dog", 100), ("val/cat", 200), ("val/dog", 300),
                         ("test/cat", 400)):  # fmt: skip
        fill(root / place, 4, start)
    built = read(root, root.parent / "cache")
    assert all(photo.path.split("/")[0] == photo.split for photo in built.photos)
    assert "No photo of dog in test" in inputs.counted(built)


def test_a_name_that_is_not_utf_8_is_listed(root: Path) -> None:
    for place, start in (("cat", 0), ("dog", 100)):
        fill(root / place, 5, start)
    os.rename(root / "cat/0.png", root / "cat" / os.fsdecode(b"caf\xe9.png"))
    built = read(root, root.parent / "cache")
    assert [path for path, _ in built.skipped] == [r"cat/caf\udce9.png"]
    built.write(root.parent)
    assert "rename it" in (root.parent / "skipped.csv").read_text()


def test_files_exchanged_with_equal_size_and_time_are_noticed(root: Path) -> None:
    for place, start in (("cat", 0), ("dog", 100)):
        fill(root / place, 5, start)
    one, two = root / "cat/0.png", root / "dog/100.png"
    contents = [one.read_bytes(), two.read_bytes()]
    assert len({len(content) for content in contents}) == 1
    for path in (one, two):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    before = read(root, root.parent / "cache").digest
    for path, content in zip((one, two), reversed(contents), strict=True):
        path.write_bytes(content)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    assert read(root, root.parent / "cache").digest != before


@pytest.mark.parametrize("classes", [2, 20, 21, 150])
def test_counts_fit_80_columns_and_name_every_class(classes: int) -> None:
    names = tuple(f"class {k} of a long name, as some people give them" for k in range(classes))
    photos = tuple(
        Photo(f"{k}", "", k, split, 1, f"{k} {split}")
        for k in range(classes) for split in ("train", "val", "test")
    )  # fmt: skip
    text = "\n".join(inputs.counted(Manifest(Path("/"), names, photos, ())))
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("class ") >= classes


def test_control_characters_of_names_are_not_sent_to_the_terminal() -> None:
    photos = tuple(Photo("a", "", k, "train", 1, f"{k}") for k in (0, 1))
    text = "\n".join(inputs.counted(Manifest(Path("/"), ("=1+1", "a\x1b[31m\nred"), photos, ())))
    assert r"a\x1b[31m\nred" in text and "\x1b" not in text
