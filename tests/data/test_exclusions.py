"""A list of doubted photos keeps them out of training, and out of nothing else."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catdog.data import exclusions
from catdog.data.manifest import DROPPED, Manifest, Photo
from catdog.errors import DataError

SPLITS = st.sampled_from(["train", "val", "test"])
LAW = settings(deadline=None, max_examples=100)


def made(splits: list[str]) -> Manifest:
    """Build photos of these splits, and one more of each class that is never listed."""
    photos = [
        Photo(f"{i}.jpg", f"/{i}.jpg", i % 2, split, 5, f"{i:064x}")
        for i, split in enumerate([*splits, "train", "train"])
    ]
    return Manifest(Path("/photos"), ("cat", "dog"), tuple(photos), ())


def written(path: Path, rows: list[tuple[str, ...]], *columns: str) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


@LAW
@given(st.lists(SPLITS, min_size=2, max_size=20), st.data())
def test_only_listed_training_photos_leave(splits: list[str], data: st.DataObject) -> None:
    photos = made(splits)
    hashes = [photo.sha256 for photo in photos.photos[: len(splits)]]
    listed = data.draw(st.sets(st.sampled_from(hashes)))
    after = exclusions.apply(photos, listed, "list.csv")
    for before, now in zip(photos.photos, after.photos, strict=True):
        leaves = before.split == "train" and before.sha256 in listed
        assert now.split == (DROPPED if leaves else before.split)
    assert after.dropped == sum(photo.split == DROPPED for photo in after.photos)
    assert sum(after.counts.values()) + after.dropped == len(photos.photos)
    assert (after.digest == photos.digest) == (after.dropped == 0)


@pytest.mark.parametrize(
    ("above", "expected"), [(0.0, {"a", "b", "c"}), (0.7, {"b", "c"}), (0.9, {"c"}), (1.0, set())]
)
def test_of_a_list_the_surest_are_taken(tmp_path: Path, above: float, expected: set[str]) -> None:
    rows = [("a", "0.6"), ("b", "0.7"), ("c", "0.95")]
    path = written(tmp_path / "list.csv", rows, "sha256", "probability_of_suggested")
    assert exclusions.read(path, above) == expected


def test_a_list_of_ones_own_needs_only_the_hashes(tmp_path: Path) -> None:
    path = written(tmp_path / "list.csv", [("x.jpg", "a")], "path", "sha256")
    assert exclusions.read(path, 0.0) == {"a"}
    with pytest.raises(DataError, match=r"list\.csv: has no column probability_of_suggested"):
        exclusions.read(path, 0.5)
    assert exclusions.read(written(tmp_path / "empty.csv", [], "sha256"), 0.0) == set()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, r"list\.csv: cannot be read \(No such file"),
        (b"\xff\xfe\x00", r"list\.csv: cannot be read \(no text"),
        (b"photo\na.jpg\n", r"list\.csv: has no column sha256"),
        (b"sha256,probability_of_suggested\na,0.9\nb\n", "that is no number"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes | None, expected: str) -> None:
    path = tmp_path / "list.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=expected):
        exclusions.read(path, 0.5)


def test_a_list_of_other_photos_is_refused() -> None:
    with pytest.raises(DataError, match=r"list\.csv: lists none of these photos"):
        exclusions.apply(made(["train", "val"]), {"f" * 64}, "list.csv")


def test_a_class_keeps_a_photo_to_train_on() -> None:
    photos = made(["train", "val", "test"])
    cats = {photo.sha256 for photo in photos.photos if photo.label == 0}
    with pytest.raises(DataError, match="no photo of class cat in train"):
        exclusions.apply(photos, cats, "list.csv")
