"""Assigns each photo to a split, by a hash of its content.

A photo's split follows from its content and ``split_seed`` alone: its hash is a point on [0, 1),
and the fractions divide that interval. So photos that are added later move no other photo,
byte-identical photos are in the same split, and a folder may be moved or its files renamed. In
return a class has its fraction in a split only up to chance (a binomial draw).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from catdog.data.folders import Found, name_problem
from catdog.data.manifest import SPLITS, Manifest, Photo
from catdog.data.scan import Verdict
from catdog.errors import DataError


def position(sha256: str, seed: int) -> float:
    """Return a photo's point on [0, 1), uniform over photos and independent between seeds.

    Args:
        sha256: Hash of its content.
        seed: ``data.split_seed``.

    Example:
        >>> round(position("0a1b", seed=0), 4), round(position("0a1b", seed=1), 4)
        (0.4291, 0.3353)
    """
    digest = hashlib.blake2b(f"{seed}:{sha256}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def split_of(point: float, val_fraction: float, test_fraction: float) -> str:
    """Return the split of a point on [0, 1): first test, then val, the rest is train.

    Args:
        point: In [0, 1), from ``position``.
        val_fraction: Fraction for validation, in (0, 1).
        test_fraction: Fraction for the test, in (0, 1).

    Example:
        >>> [split_of(point, 0.1, 0.2) for point in (0.15, 0.25, 0.35)]
        ['test', 'val', 'train']
    """
    if point < test_fraction:
        return "test"
    return "val" if point < test_fraction + val_fraction else "train"


def build(
    root: Path,
    found: Sequence[Found],
    verdicts: Sequence[Verdict],
    sources: Sequence[str],
    *,
    val_fraction: float,
    test_fraction: float,
    split_seed: int,
    limit: int | None = None,
    classes: Sequence[str] | None = None,
    on_bad_image: str = "skip",
    duplicates: str = "group",
    to_train: bool = True,
) -> Manifest:
    """Build the manifest: split the good photos and list the others.

    Args:
        root: Folder that the manifest's paths are relative to.
        found: n files with their class and, for ready-made splits, their split.
        verdicts: n results of checking them.
        sources: n files that TensorFlow reads for them.
        val_fraction: Fraction of each class for validation, in (0, 1).
        test_fraction: Fraction of each class for the test, in (0, 1).
        split_seed: Another seed gives another split.
        limit: Largest number of photos per class, at least 3; None keeps all.
        classes: Names of the classes, in the order of the labels; None takes all, sorted.
        on_bad_image: ``skip`` lists bad photos, ``raise`` stops at the first.
        duplicates: ``group`` keeps byte-identical photos in one split, ``raise`` refuses them.
        to_train: Whether a model is trained on them: then there must be two classes, with three
            photos each, one of them for training.

    Returns:
        The manifest. Files of other classes than ``classes`` are not in it.

    Raises:
        DataError: there are no classes, or too few or too small ones to train, or
            ``on_bad_image`` or ``duplicates`` refuses a photo.
    """
    names = _classes(root, found, classes, least=2 if to_train else 1)
    skipped: list[tuple[str, str]] = []
    photos: list[Photo] = []
    for item, verdict, source in zip(found, verdicts, sources, strict=True):
        if item.label not in names:
            continue
        path = str(Path(item.path).relative_to(root))
        if problem := verdict.problem or name_problem(item.path):
            if on_bad_image == "raise":
                raise DataError(item.path, problem, "data.on_bad_image=skip lists it")
            skipped.append((path.encode(errors="backslashreplace").decode(), problem))
            continue
        label = names.index(item.label)
        photos.append(
            Photo(path, source, label, item.split or "", verdict.size, verdict.sha256,
                  verdict.orientation, verdict.converted)
        )  # fmt: skip
    photos.sort(key=lambda photo: (photo.sha256, photo.path))
    photos = _without_conflicts(root, photos, duplicates, skipped)
    photos = _limited(photos, limit, split_seed)
    if to_train:
        _require_enough(root, names, photos, skipped)
    photos = _assign(photos, val_fraction, test_fraction, split_seed)
    if to_train:
        _require_train(root, names, photos)
    return Manifest(root, tuple(names), tuple(photos), tuple(skipped))


def _classes(
    root: Path, found: Sequence[Found], wanted: Sequence[str] | None, *, least: int
) -> list[str]:
    there = sorted({item.label for item in found})
    missing = [name for name in wanted or () if name not in there]
    if missing and (least > 1 or len(missing) == len(wanted or ())):
        raise DataError(
            root, f"data.classes asks for {', '.join(missing)}", f"Found: {', '.join(there)}"
        )
    if len(there) < least:
        raise DataError(
            root,
            f"only {len(there)} class found ({', '.join(there) or 'no photo at all'})",
            "A classifier needs at least two, one folder (or file name prefix) each",
        )
    return [name for name in wanted or there if name in there]


def _without_conflicts(
    root: Path, photos: list[Photo], policy: str, skipped: list[tuple[str, str]]
) -> list[Photo]:
    """Skip photos with two labels, and copies in train of val photos, in either of test photos."""
    groups: dict[str, list[Photo]] = {}
    for photo in photos:
        groups.setdefault(photo.sha256, []).append(photo)
    kept: list[Photo] = []
    for group in groups.values():
        if len(group) > 1 and policy == "raise":
            names = ", ".join(photo.path for photo in group)
            raise DataError(root, f"byte-identical photos: {names}", "data.duplicates=group")
        if len({photo.label for photo in group}) > 1:
            names = ", ".join(photo.path for photo in group)
            skipped += [(photo.path, f"one photo, two labels: {names}") for photo in group]
            continue
        home = max(group, key=lambda photo: ("", "train", "val", "test").index(photo.split)).split
        for photo in group:
            if photo.split == home:
                kept.append(photo)
            else:
                skipped.append((photo.path, f"a copy of a {home} photo"))
    return kept


def _limited(photos: list[Photo], limit: int | None, seed: int) -> list[Photo]:
    if limit is None:
        return photos
    kept: list[Photo] = []
    for label in {photo.label for photo in photos}:
        own = {photo.sha256: photo for photo in photos if photo.label == label}  # no copies
        # not the hash of the split: a small limit would keep test photos only
        kept += sorted(own.values(), key=lambda p: position(f"limit {p.sha256}", seed))[:limit]
    return sorted(kept, key=lambda photo: (photo.sha256, photo.path))


def _require_enough(
    root: Path, names: list[str], photos: list[Photo], skipped: list[tuple[str, str]]
) -> None:
    for label, name in enumerate(names):
        different = {photo.sha256 for photo in photos if photo.label == label}
        if len(different) < 3:
            why = f"; skipped: {skipped[0][0]} ({skipped[0][1]}) ..." if skipped else ""
            raise DataError(
                root,
                f"class {name} has {len(different)} good photos, fewer than 3 (train, val, test)"
                + why,
                "Add photos, or leave the class out with data.classes",
            )


def _assign(
    photos: list[Photo], val_fraction: float, test_fraction: float, seed: int
) -> list[Photo]:
    ready = {photo.split for photo in photos} - {""}
    # where splits are ready-made, only the missing ones are drawn, from train
    test_fraction = 0.0 if "test" in ready else test_fraction
    val_fraction = 0.0 if "val" in ready else val_fraction
    points = {photo.sha256: position(photo.sha256, seed) for photo in photos}
    drawn = [
        photo
        if photo.split in ("val", "test")
        else replace(photo, split=split_of(points[photo.sha256], val_fraction, test_fraction))
        for photo in photos
    ]
    ours = [split for split in SPLITS if split == "train" or split not in ready]
    for label in {photo.label for photo in drawn}:
        _fill_empty_splits(drawn, label, points, ours)
    return drawn


def _fill_empty_splits(
    photos: list[Photo], label: int, points: dict[str, float], ours: list[str]
) -> None:
    """Move the nearest photo of a small class into a split that by chance has none of it.

    Only among the splits that are ours: ready-made ones stay as they are given.
    """
    for wanted in ours:
        own = [i for i, photo in enumerate(photos) if photo.label == label]
        if any(photos[i].split == wanted for i in own):
            continue
        different = Counter(
            split for _, split in {(photos[i].sha256, photos[i].split) for i in own}
        )
        donor = max(ours, key=lambda split: different[split])
        if different[donor] < 2:
            continue
        nearest = min(
            (i for i in own if photos[i].split == donor), key=lambda i: points[photos[i].sha256]
        )
        chosen = photos[nearest].sha256
        for i in own:
            if photos[i].sha256 == chosen:
                photos[i] = replace(photos[i], split=wanted)


def _require_train(root: Path, names: list[str], photos: list[Photo]) -> None:
    for label, name in enumerate(names):
        if not any(photo.label == label and photo.split == "train" for photo in photos):
            raise DataError(
                root,
                f"class {name} has no photo in train",
                "Put some there, or leave the class out with data.classes",
            )
