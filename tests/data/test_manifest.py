"""The laws of the split: it follows from content and seed, and from nothing else."""

from __future__ import annotations

import csv
import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from catdog.data.folders import Found
from catdog.data.manifest import SPLITS, Manifest
from catdog.data.scan import Verdict
from catdog.data.split import build, position, split_of
from catdog.errors import DataError

ROOT = Path("/photos")
PINNED = "056c8f30f8a1e0a548e4a9b060c1d5744190bbf61b175e4feaa35210833d46fc"
PINNED_COUNTS = {"train": 30, "val": 4, "test": 6}
DEFAULTS: dict[str, Any] = {"val_fraction": 0.1, "test_fraction": 0.1, "split_seed": 0}


def sha(content: object) -> str:
    return hashlib.sha256(str(content).encode()).hexdigest()


def built(files: Sequence[tuple[str, str, object]], root: Path = ROOT, **options: Any) -> Manifest:
    """Build from (path below root, split or "", content); the class is the file's folder."""
    found = [
        Found(str(root / path), Path(path).parent.name, split or None) for path, split, _ in files
    ]
    verdicts = [
        Verdict("", 0, problem="unreadable") if content is None else Verdict(sha(content), 5)
        for *_, content in files
    ]
    sources = [item.path for item in found]
    return build(root, found, verdicts, sources, **{**DEFAULTS, **options})


def splits(made: Manifest) -> dict[str, str]:
    return {photo.path: photo.split for photo in made.photos}


def many(count: int, labels: str = "ab", start: int = 0) -> list[tuple[str, str, object]]:
    return [
        (f"{label}/{i}.jpg", "", f"{label}{i}") for label in labels for i in range(start, count)
    ]


SEEDS = st.integers(0, 2**32)
LAW = settings(deadline=None, max_examples=60)


@LAW
@given(st.integers(30, 60), st.integers(0, 40), SEEDS)
def test_photos_that_are_added_move_no_other(old: int, new: int, seed: int) -> None:
    options = {"split_seed": seed, "val_fraction": 0.3, "test_fraction": 0.3}
    drawn = {
        path: split_of(position(sha(content), seed), 0.3, 0.3) for path, _, content in many(old)
    }
    # a split that is empty by chance borrows a photo until there are others
    assume(len({(path[0], split) for path, split in drawn.items()}) == 6)
    assert splits(built(many(old), **options)) == drawn
    after = splits(built([*many(old + new, start=old), *many(old)], **options))
    assert {path: after[path] for path in drawn} == drawn


@LAW
@given(st.lists(st.integers(0, 6), min_size=9, max_size=30), SEEDS)
def test_byte_identical_photos_share_a_side(contents: list[int], seed: int) -> None:
    files = [(f"a/{i}.jpg", "", c) for i, c in enumerate([0, 1, 2, *contents])]
    made = built([*files, *many(9, "b")], split_seed=seed)
    sides: dict[str, set[str]] = {}
    for photo in made.photos:
        sides.setdefault(photo.sha256, set()).add(photo.split)
    assert all(len(side) == 1 for side in sides.values())
    assert len(made.photos) == len(files) + 9


@LAW
@given(st.lists(st.integers(0, 8), max_size=20), SEEDS, st.floats(0.01, 0.49))
def test_every_class_is_in_every_split(contents: list[int], seed: int, fraction: float) -> None:
    files = [(f"a/{i}.jpg", "", c) for i, c in enumerate([0, 1, 2, *contents])]
    files += [(f"b/{i}.jpg", "", f"b{c}") for i, c in enumerate([0, 1, 2, *contents[::2]])]
    made = built(files, split_seed=seed, val_fraction=fraction, test_fraction=fraction)
    there = {(photo.label, photo.split) for photo in made.photos}
    assert there == {(label, split) for label in (0, 1) for split in SPLITS}


@LAW
@given(st.permutations(range(12)), st.sampled_from(["/elsewhere", "/photos/below"]))
def test_renaming_and_moving_change_neither_split_nor_digest(names: list[int], root: str) -> None:
    files = many(12)
    renamed = [(f"{p[0]}/{names[int(p[2:-4])]}-x.png", s, content) for p, s, content in files]
    before, after = built(files), built(renamed[::-1], Path(root))
    assert before.digest == after.digest
    assert [(p.sha256, p.split) for p in before.photos] == [
        (p.sha256, p.split) for p in after.photos
    ]


@pytest.mark.parametrize("val, test", [(0.1, 0.1), (0.3, 0.05), (0.01, 0.5)])
@pytest.mark.parametrize("seed", [0, 1])
def test_fractions_are_kept_within_a_binomial_tolerance(
    val: float, test: float, seed: int
) -> None:
    made = built(many(2500), split_seed=seed, val_fraction=val, test_fraction=test)
    for label in (0, 1):
        counts = Counter(photo.split for photo in made.photos if photo.label == label)
        for split, share in (("val", val), ("test", test), ("train", 1 - val - test)):
            tolerance = 4.5 * math.sqrt(2500 * share * (1 - share))
            assert abs(counts[split] - 2500 * share) < tolerance
    assert sum(made.counts.values()) == 5000


@pytest.mark.parametrize("other", [1, 2, 77])
def test_another_seed_is_another_and_independent_split(other: int) -> None:
    options = {"val_fraction": 0.25, "test_fraction": 0.25}
    first = built(many(1000), **options)
    second = built(many(1000), split_seed=other, **options)
    assert first.digest != second.digest
    one, two = splits(first), splits(second)
    same = sum(one[path] == two[path] for path in one) / len(one)
    assert abs(same - (0.25**2 + 0.25**2 + 0.5**2)) < 0.05


def test_the_digest_is_content_class_and_split() -> None:
    files = many(10)
    plain = built(files).digest
    assert built(files[::-1]).digest == plain
    assert built([("a/0.jpg", "", "other"), *files[1:]]).digest != plain
    assert built(files, split_seed=1).digest != plain
    assert built(files, classes=["b", "a"]).digest != plain
    assert built(files, val_fraction=0.5).digest != plain


def test_splits_are_pinned() -> None:
    made = built(many(20))
    assert made.digest == PINNED
    assert made.counts == PINNED_COUNTS


@LAW
@given(st.integers(3, 12), SEEDS)
def test_limit_keeps_that_many_of_each_class_and_moves_none(limit: int, seed: int) -> None:
    files = [*many(30, "a"), *many(9, "b"), *many(150, "c")]
    whole = built(files, split_seed=seed)
    few = built(files, split_seed=seed, limit=limit)
    assert Counter(p.label for p in few.photos) == {0: limit, 1: min(limit, 9), 2: limit}
    assert set(splits(few)) <= set(splits(whole))
    more = built(files, split_seed=seed, limit=limit + 1)
    assert set(splits(few)) <= set(splits(more))


def test_a_limit_does_not_favour_a_split() -> None:
    made = built(many(3000), limit=500, val_fraction=0.25, test_fraction=0.25)
    assert all(abs(made.counts[split] - 250) < 80 for split in ("val", "test"))


@pytest.mark.parametrize("copies", [1, 3])
def test_a_photo_with_two_labels_is_skipped_and_every_copy_listed(copies: int) -> None:
    twins = [(f"a/twin{i}.jpg", "", "twin") for i in range(copies)] + [("b/twin.jpg", "", "twin")]
    made = built([*twins, *many(5)])
    assert {path for path, _ in made.skipped} == {path for path, *_ in twins}
    assert all("one photo, two labels" in why and "b/twin.jpg" in why for _, why in made.skipped)
    assert not set(splits(made)) & {path for path, *_ in twins}


READY = [(f"{split}/{label}/{i}.jpg", split, f"{split}{label}{i}")
         for split in SPLITS for label in "ab" for i in range(6)]  # fmt: skip


@LAW
@given(SEEDS)
def test_ready_made_splits_are_honoured(seed: int) -> None:
    made = built(READY, split_seed=seed)
    assert {path: split for path, split, _ in READY} == splits(made)


@LAW
@given(
    st.sampled_from(["val", "test"]),
    SEEDS,
    st.dictionaries(st.sampled_from("ab"), st.integers(1, 12), min_size=2),
)
def test_a_missing_split_is_drawn_from_train_only(
    missing: str, seed: int, sizes: dict[str, int]
) -> None:
    other = {"val": "test", "test": "val"}[missing]
    files = [(f"{other}/{c}/{i}.jpg", other, f"{c}{i}") for c in "ab" for i in range(9)]
    files += [
        (f"train/{c}/{i}.jpg", "train", f"{c}-{i}") for c, n in sizes.items() for i in range(n + 1)
    ]
    after = splits(built(files, split_seed=seed))
    assert all(after[path] == other for path, split, _ in files if split == other)
    for label in "ab":
        drawn = {s for path, s in after.items() if path.startswith(f"train/{label}/")}
        assert drawn == {"train", missing}


def test_a_ready_made_split_lends_no_photo() -> None:
    lone = [item for item in READY if not item[0].startswith(("train/b", "val/b"))]
    with pytest.raises(DataError, match="class b has no photo in train. Put some there"):
        built(lone)
    one = [*lone, ("train/b/0.jpg", "train", "only")]
    assert splits(built(one)) == {path: split for path, split, _ in one}


def test_a_copy_across_ready_made_splits_stays_in_the_later_one() -> None:
    extra = [("train/a/x.jpg", "train", "val" + "a0"), ("train/b/y.jpg", "train", "testb1"),
             ("val/b/z.jpg", "val", "testb1")]  # fmt: skip
    made = built([*extra, *READY])
    assert dict(made.skipped) == {
        "train/a/x.jpg": "a copy of a val photo",
        "train/b/y.jpg": "a copy of a test photo",
        "val/b/z.jpg": "a copy of a test photo",
    }
    assert splits(made) == {path: split for path, split, _ in READY}


@pytest.mark.parametrize(
    "files, options, found, fix",
    [
        (many(5, "a"), {}, "only 1 class found (a)", "at least two"),
        ([], {}, "no photo at all", "at least two"),
        ([*many(5, "a"), *many(2, "b")], {}, "class b has 2 good photos", "data.classes"),
        ([*many(5, "a"), *[(f"b/{i}.jpg", "", "same") for i in range(4)]], {},
         "class b has 1 good photo", "data.classes"),
        (many(5), {"classes": ["a", "bird"]}, "data.classes asks for bird", "Found: a, b"),
        ([*many(5, "a"), *[(f"b/{i}.jpg", "", None) for i in range(4)]], {},
         "class b has 0 good photos", "skipped: b/0.jpg (unreadable)"),
        ([*many(5), ("a/x.jpg", "", None)], {"on_bad_image": "raise"},
         "/photos/a/x.jpg: unreadable", "data.on_bad_image=skip"),
        ([*many(5), ("a/x.jpg", "", "a0")], {"duplicates": "raise"},
         "byte-identical photos: a/0.jpg, a/x.jpg", "data.duplicates=group"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_on_is_refused_with_the_fix(
    files: list, options: dict[str, Any], found: str, fix: str
) -> None:
    with pytest.raises(DataError) as caught:
        built(files, **options)
    assert found in str(caught.value)
    assert fix in str(caught.value)


def test_classes_choose_and_order() -> None:
    files = many(5, "abc")
    assert built(files).classes == ("a", "b", "c")
    chosen = built(files, classes=["c", "a"])
    assert chosen.classes == ("c", "a")
    assert {(p.path[0], p.label) for p in chosen.photos} == {("c", 0), ("a", 1)}


def test_bad_photos_are_listed_and_the_others_kept() -> None:
    made = built([*many(5), ("a/x.jpg", "", None)])
    assert made.skipped == (("a/x.jpg", "unreadable"),)
    assert sum(made.counts.values()) == 10


def test_the_files_have_a_row_for_each_photo(tmp_path: Path) -> None:
    made = built([*many(5), ("a/so, so.jpg", "", "comma"), ("b/x.jpg", "", None)])
    made.write(tmp_path)
    with open(tmp_path / "manifest.csv", newline="") as written:
        rows = list(csv.DictReader(written))
    assert list(rows[0]) == [
        "path", "label", "split", "size", "sha256", "orientation", "converted"
    ]  # fmt: skip
    assert {row["path"]: (row["label"], row["split"], row["sha256"]) for row in rows} == {
        p.path: (made.classes[p.label], p.split, p.sha256) for p in made.photos
    }
    with open(tmp_path / "skipped.csv", newline="") as written:
        assert list(csv.reader(written)) == [["path", "reason"], ["b/x.jpg", "unreadable"]]


@LAW
@given(st.floats(0, 1, exclude_max=True), st.floats(0.01, 0.5), st.floats(0.01, 0.49))
def test_a_larger_test_share_only_ever_takes_photos_in(
    point: float, test: float, more: float
) -> None:
    if split_of(point, 0.1, test) == "test":
        assert split_of(point, 0.1, min(0.89, test + more)) == "test"
