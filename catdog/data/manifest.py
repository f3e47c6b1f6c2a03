"""The manifest: which photo is in which split, and the identity of the data set.

A photo's split follows from its content and ``split_seed`` alone: its hash is a point on [0, 1)
and the fractions cut that line. So photos that are added later move no other photo, byte-identical
photos fall on one side, and a folder may be moved or its files renamed. The price: a class has
its fraction in a split up to chance (a binomial draw), not to the last photo.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from catdog.core.files import write_csv

SPLITS = ("train", "val", "test")
DROPPED = "dropped"
"""Stands for a split where a photo is kept out of training: it is in none."""


@dataclass(frozen=True, slots=True)
class Photo:
    """One good photo; ``source`` is what TensorFlow reads (a PNG copy for odd formats)."""

    path: str
    source: str
    label: int
    split: str
    size: int
    sha256: str
    orientation: int = 1
    converted: str = ""


@dataclass(frozen=True)
class Manifest:
    """All good photos in the order of their hashes, and what was left out and why."""

    root: Path
    classes: tuple[str, ...]
    photos: tuple[Photo, ...]
    skipped: tuple[tuple[str, str], ...]

    def of(self, split: str) -> list[Photo]:
        """Return the photos of ``train``, ``val`` or ``test``."""
        return [photo for photo in self.photos if photo.split == split]

    @property
    def counts(self) -> dict[str, int]:
        """Number of photos per split."""
        counted = Counter(photo.split for photo in self.photos)
        return {split: counted[split] for split in SPLITS}

    @property
    def dropped(self) -> int:
        """Number of photos that ``data.drop`` keeps out of training."""
        return sum(photo.split == DROPPED for photo in self.photos)

    @property
    def digest(self) -> str:
        """SHA-256 over content, class and split of every photo; paths do not matter."""
        lines = sorted(f"{p.sha256} {self.classes[p.label]} {p.split}" for p in self.photos)
        return hashlib.sha256("\n".join([*self.classes, *lines]).encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Write ``manifest.csv`` and ``skipped.csv``."""
        columns = ("path", "label", "split", "size", "sha256", "orientation", "converted")
        rows = (
            (p.path, self.classes[p.label], p.split, p.size, p.sha256, p.orientation, p.converted)
            for p in self.photos
        )
        write_csv(folder / "manifest.csv", columns, rows)
        write_csv(folder / "skipped.csv", ("path", "reason"), self.skipped)
