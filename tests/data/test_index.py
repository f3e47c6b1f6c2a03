"""From a choice to a manifest: zips in zips, folders, and all that people point at by mistake."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from catdog import data
from catdog.data.manifest import Manifest
from catdog.errors import ConfigError, DataError
from catdog.progress import Progress
from catdog.settings import Data

PER_CLASS = 6


def jpeg(number: int) -> bytes:
    with io.BytesIO() as held:
        Image.new("RGB", (9, 7), (number * 20, 40, 60)).save(held, "JPEG")
        return held.getvalue()


PHOTOS = {
    f"{label}.{i}.jpg": jpeg(i + 6 * (label == "dog"))
    for label in ("cat", "dog")
    for i in range(PER_CLASS)
}


def packed(entries: dict[str, bytes]) -> bytes:
    with io.BytesIO() as held:
        with zipfile.ZipFile(held, "w") as archive:
            for name, content in entries.items():
                archive.writestr(name, content)
        return held.getvalue()


TRAIN_ZIP = packed({f"train/{name}": content for name, content in PHOTOS.items()})


def prepared(tmp_path: Path, **choice: Any) -> Manifest:
    return data.prepare(Data(**choice), tmp_path / "cache", Progress(), threads=2)


def unpacked(root: Path) -> Path:
    """Kaggle's train folder."""
    root.mkdir(parents=True)
    for name, content in PHOTOS.items():
        (root / name).write_bytes(content)
    return root


def foldered(root: Path) -> Path:
    """The same photos in class folders."""
    for name, content in PHOTOS.items():
        folder = root / name.split(".")[0]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return root


def refused(tmp_path: Path, **choice: Any) -> str:
    with pytest.raises((DataError, ConfigError)) as caught:
        prepared(tmp_path, **choice)
    return str(caught.value)


def test_all_shapes_of_kaggles_data_are_one_data_set(tmp_path: Path) -> None:
    (tmp_path / "train.zip").write_bytes(TRAIN_ZIP)
    outer = packed({"train.zip": TRAIN_ZIP, "test1.zip": b"", "sampleSubmission.csv": b"id"})
    (tmp_path / "dogs-vs-cats.zip").write_bytes(outer)
    unpacked(tmp_path / "by hand" / "train")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "train.zip").write_bytes(TRAIN_ZIP)
    shapes = ("train.zip", "dogs-vs-cats.zip", "by hand", "by hand/train", "half")
    made = [prepared(tmp_path, name="kaggle", path=str(tmp_path / shape)) for shape in shapes]
    assert len({m.digest for m in made}) == 1
    assert all(m.classes == ("cat", "dog") and sum(m.counts.values()) == 12 for m in made)
    folders = prepared(tmp_path, name="folder", path=str(foldered(tmp_path / "classes")))
    assert folders.digest == made[0].digest


@pytest.mark.parametrize("suffix", [".zip", ".ZIP", ""])
def test_a_zip_of_class_folders_is_a_folder(tmp_path: Path, suffix: str) -> None:
    entries = {f"pets/{name.split('.')[0]}/{name}": held for name, held in PHOTOS.items()}
    path = tmp_path / f"pets{suffix}"
    path.write_bytes(packed(entries))
    assert prepared(tmp_path, name="folder", path=str(path)).classes == ("cat", "dog")


def test_a_path_may_start_at_home_or_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = foldered(tmp_path / "somewhere" / "pets")
    monkeypatch.setenv("HOME", str(root.parent))
    monkeypatch.chdir(root.parent)
    for path in ("~/pets", "pets", "./pets", "../somewhere/pets/"):
        assert sum(prepared(tmp_path, name="folder", path=path).counts.values()) == 12


def test_odd_formats_are_read_from_their_copies(tmp_path: Path) -> None:
    root = foldered(tmp_path / "pets")
    Image.new("RGB", (9, 7)).save(root / "cat" / "odd.tif")
    made = prepared(tmp_path, name="folder", path=str(root))
    (odd,) = [photo for photo in made.photos if photo.path == "cat/odd.tif"]
    assert odd.converted == "TIFF RGB"
    assert odd.source.startswith(str(tmp_path / "cache" / "converted"))
    assert Image.open(odd.source).format == "PNG"
    assert all(p.source == str(root / p.path) for p in made.photos if p is not odd)


def test_choices_reach_the_manifest(tmp_path: Path) -> None:
    path = str(foldered(tmp_path / "pets"))
    chosen = prepared(tmp_path, name="folder", path=path, classes=["dog", "cat"], limit=3)
    assert chosen.classes == ("dog", "cat")
    assert sum(chosen.counts.values()) == 6
    (tmp_path / "pets" / "cat" / "bad.jpg").write_bytes(b"bad")
    skipped = prepared(tmp_path, name="folder", path=path).skipped
    assert skipped == (("cat/bad.jpg", "not an image"),)
    assert "bad.jpg: not an image" in refused(
        tmp_path, name="folder", path=path, on_bad_image="raise"
    )


def test_moved_photos_are_the_same_data_set(tmp_path: Path) -> None:
    before = prepared(tmp_path, name="folder", path=str(foldered(tmp_path / "pets")))
    shutil.move(tmp_path / "pets", tmp_path / "moved")
    after = prepared(tmp_path, name="folder", path=str(tmp_path / "moved"))
    assert (after.digest, after.counts) == (before.digest, before.counts)


@pytest.mark.parametrize("name", ["folder", "kaggle"])
@pytest.mark.parametrize(
    "place, expected",
    [
        ("nowhere", "nowhere: there is no such folder. Check data.path"),
        ("nowhere.zip", "nowhere.zip: there is no such file. Check data.path"),
        ("empty", "empty: no "),
        ("text.txt", "text.txt: not a readable zip"),
    ],
)
def test_a_wrong_path_is_named(tmp_path: Path, name: str, place: str, expected: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("photos")
    assert expected in refused(tmp_path, name=name, path=str(tmp_path / place))


def test_empty_class_folders_are_named(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
    said = refused(tmp_path, name="folder", path=str(tmp_path / "pets"))
    assert "pets: the class folders are empty" in said


def test_photos_that_are_all_bad_are_named_with_a_reason(tmp_path: Path) -> None:
    root = foldered(tmp_path / "pets")
    for path in root.rglob("*.jpg"):
        path.write_bytes(b"")
    said = refused(tmp_path, name="folder", path=str(root))
    assert "class cat has 0 good photos" in said
    assert "(empty file)" in said


def test_class_folders_are_no_kaggle_data_and_the_fix_is_named(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        (tmp_path / "pets" / label / "a.jpg").write_bytes(jpeg(1))
    said = refused(tmp_path, name="kaggle", path=str(tmp_path / "pets"))
    assert "use data=folder" in said


def test_a_cache_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as caught:
        data.require_writable(tmp_path / "file" / "cache")
    assert f"features.dir={tmp_path}/file/cache: cannot be written" in str(caught.value)
    assert "try `features.dir=" in str(caught.value)


def test_a_cache_that_can_be_written_is_made_and_left_empty(tmp_path: Path) -> None:
    data.require_writable(tmp_path / "new" / "cache")
    assert list((tmp_path / "new" / "cache").iterdir()) == []
