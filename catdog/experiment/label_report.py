"""Inspect labels: find those that may be wrong and near-duplicates; log tables and pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from catdog.core.files import write_csv
from catdog.data.manifest import Manifest, Photo
from catdog.errors import shown
from catdog.evaluation import label_errors
from catdog.evaluation.intervals import Interval, wilson
from catdog.evaluation.label_errors import Estimate
from catdog.plots import montage
from catdog.progress import Progress
from catdog.tracking.names import NOTE
from catdog.tracking.run import Run

DRAWN = 25
"""Largest number of photos or pairs in a picture; the tables have all."""


class Suspect(NamedTuple):
    """A photo whose label is probably wrong, with probabilities predicted out of fold."""

    path: str
    label: str
    suggested: str
    probability_of_label: float
    probability_of_suggested: float
    split: str
    sha256: str


class Duplicate(NamedTuple):
    """Two photos that look nearly the same; ``straddles`` if they are in different splits."""

    similarity: float
    first: str
    second: str
    first_label: str
    second_label: str
    first_split: str
    second_split: str
    straddles: bool


@dataclass(frozen=True)
class Inspection:
    """The result of an inspection.

    Attributes:
        photos: Number of photos.
        suspects: Photos with doubtful labels, the likeliest errors first; no more than may be
            wrong by the estimate.
        estimate: How many labels are wrong.
        duplicates: Pairs of near-duplicates, the most similar first, without identical files.
        accuracy: Share of the labels that the heads predicted, out of fold.
        accuracy_interval: Its 95 % interval.
        shown: Indices of the photos and pairs in the pictures.
    """

    photos: int
    suspects: list[Suspect]
    estimate: Estimate
    duplicates: list[Duplicate]
    accuracy: float
    accuracy_interval: Interval
    shown: tuple[list[int], list[tuple[int, int]]]

    @property
    def straddling(self) -> int:
        """Number of pairs in different splits."""
        return sum(pair.straddles for pair in self.duplicates)

    def sentences(self) -> tuple[str, str]:
        """Return how many labels are wrong, and how good the heads are that say so."""
        wrong, low, high = self.estimate
        lower, upper = self.accuracy_interval
        return (
            f"About {wrong:,} of {self.photos:,} labels are wrong "
            f"(95 % interval {low:,} to {high:,}, by confident learning)",
            f"The heads that say so agree with {self.accuracy:.1%} of the labels "
            f"({lower:.1%} to {upper:.1%}); a doubt is worth no more than they",
        )


def inspect(
    manifest: Manifest, features: np.ndarray, *, seed: int, similarity: float, progress: Progress
) -> Inspection:
    """Find doubtful labels and near-duplicates.

    Args:
        manifest: The n photos.
        features: (n, d) float32, their pooled features.
        seed: Seed of the folds.
        similarity: Least cosine similarity of near-duplicates, in (0, 1).
        progress: Receives a note at the start of each step.
    """
    photos, names = manifest.photos, manifest.classes
    labels = np.array([photo.label for photo in photos])
    progress.note(f"Predicting {len(photos):,} photos with heads that were not trained on them")
    probabilities = label_errors.out_of_fold_probabilities(features, labels, seed=seed)
    doubted = label_errors.find_label_issues(probabilities, labels)
    right = probabilities.argmax(1) == labels
    progress.note("Counting wrong labels")
    estimate = label_errors.estimate(probabilities, labels, seed=seed)
    found = [int(i) for i in doubted[: estimate.high]]  # the others are rather the heads' mistakes
    progress.note("Comparing every photo with every other")
    pairs = [
        pair
        for pair in label_errors.near_duplicates(features, similarity)
        if photos[pair.first].sha256 != photos[pair.second].sha256  # identical files share a split
    ]
    return Inspection(
        len(photos),
        [_suspect(photos[i], probabilities[i], names) for i in found],
        estimate,
        [_duplicate(photos[p.first], photos[p.second], p.similarity, names) for p in pairs],
        float(right.mean()),
        wilson(int(right.sum()), len(right)),
        (found[:DRAWN], [(pair.first, pair.second) for pair in pairs[:DRAWN]]),
    )


def _suspect(photo: Photo, probabilities: np.ndarray, names: Sequence[str]) -> Suspect:
    own, best = float(probabilities[photo.label]), int(probabilities.argmax())
    return Suspect(
        photo.path, names[photo.label], names[best], own, float(probabilities[best]),
        photo.split, photo.sha256,
    )  # fmt: skip


def _duplicate(first: Photo, second: Photo, similarity: float, names: Sequence[str]) -> Duplicate:
    return Duplicate(
        similarity, first.path, second.path, names[first.label], names[second.label],
        first.split, second.split, first.split != second.split,
    )  # fmt: skip


def log(run: Run, inspection: Inspection, manifest: Manifest, command: str) -> None:
    """Log metrics, tables, pictures and a description.

    Args:
        run: The MLflow run of the inspection.
        inspection: From ``inspect``.
        manifest: The photos.
        command: The command that repeats the inspection.
    """
    counts = {"photos": len(manifest.photos), "classes": list(manifest.classes)}
    source = json.dumps({"path": str(manifest.root)})
    run.dataset(manifest.root.name, manifest.digest, json.dumps(counts), source)
    suspects, duplicates = inspection.suspects, inspection.duplicates
    metrics = {
        "suspects/count": len(suspects),
        "suspects/estimate": inspection.estimate.wrong,
        "suspects/estimate_low": inspection.estimate.low,
        "suspects/estimate_high": inspection.estimate.high,
        "suspects/accuracy": inspection.accuracy,
        "suspects/accuracy_low": inspection.accuracy_interval[0],
        "suspects/accuracy_high": inspection.accuracy_interval[1],
        "duplicates/pairs": len(duplicates),
        "duplicates/straddling": inspection.straddling,
    }
    run.metrics(metrics)
    with run.folder("suspects") as place:
        write_csv(place / "suspects.csv", Suspect._fields, suspects, digits=6)
        write_csv(place / "duplicates.csv", Duplicate._fields, duplicates, digits=6)
        _draw(place, inspection, manifest.photos)
    lines = [
        f"**Question**: which labels of {shown(manifest.root.name)} are wrong, "
        "what is there twice?",
        f"**Data**: {len(manifest.photos):,} photos",
        "**Result**: " + ". ".join(inspection.sentences()),
        f"**Near-duplicates**: {len(duplicates)}, {inspection.straddling} of them across splits",
    ]
    run.tags({NOTE: "  \n".join(lines) + f"\n\nRepeat it with\n\n    {command}\n"})


def _draw(place: Path, inspection: Inspection, photos: Sequence[Photo]) -> None:
    single, double = inspection.shown
    suspects, duplicates = inspection.suspects[:DRAWN], inspection.duplicates[:DRAWN]
    montage.save(
        place / "suspects.png",
        photos=[montage.thumbnail(photos[i]) for i in single],
        captions=[
            f"{shown(one.label)}? {shown(one.suggested)} {one.probability_of_suggested:.3f}\n"
            f"{shown(Path(one.path).name)}"
            for one in suspects
        ],
        title=f"Likeliest errors of {len(inspection.suspects)} doubted labels",
        nothing="no label is doubted",
    )
    montage.save(
        place / "duplicates.png",
        photos=[_side_by_side(photos[i], photos[k]) for i, k in double],
        captions=[
            f"{one.similarity:.3f}  {one.first_split} | {one.second_split}\n"
            f"{shown(Path(one.first).name)} | {shown(Path(one.second).name)}"
            for one in duplicates
        ],
        title=f"Most similar of {len(inspection.duplicates)} near-duplicates",
        nothing="no near-duplicates",
    )


def _side_by_side(first: Photo, second: Photo) -> np.ndarray:
    """Return two thumbnails side by side as one picture, with a white line between them."""
    pair = [montage.thumbnail(photo, 120) for photo in (first, second)]
    high = max(len(one) for one in pair)
    filled = [
        np.pad(one, [(0, high - len(one)), (0, 4), (0, 0)], constant_values=255) for one in pair
    ]
    return np.concatenate(filled, axis=1)
