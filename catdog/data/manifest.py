"""The manifest: all photos of a data set with label, split and hash."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from catdog.core.files import write_csv

SPLITS = ("train", "val", "test")
DROPPED = "dropped"
"""Takes the place of the split for photos that ``data.drop`` keeps out of training."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A good photo.

    Attributes:
        path: Relative to the manifest's ``root``.
        source: The file that TensorFlow reads: the photo, or its PNG copy.
        label: Index of its class in ``Manifest.classes``.
        split: ``train``, ``val``, ``test`` or ``dropped``.
        size: Bytes of the file.
        sha256: Hash of the file's content, in hexadecimal.
        orientation: EXIF orientation, 1 to 8.
        converted: The format that the PNG copy was made from, such as ``TIFF RGB``; empty if
            there is no copy.
    """

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
    """The photos of a data set.

    Attributes:
        root: Folder that the paths are relative to.
        classes: Names of the classes; their order gives the labels.
        photos: All good photos, in the order of their hashes.
        skipped: Path and reason of every file that was left out.

    Example:
        >>> photos = tuple(Photo(f"{s}.jpg", f"/photos/{s}.jpg", 0, s, 9, s) for s in SPLITS)
        >>> manifest = Manifest(Path("/photos"), ("cat", "dog"), photos, ())
        >>> manifest.counts
        {'train': 1, 'val': 1, 'test': 1}
        >>> [photo.path for photo in manifest.of("val")]
        ['val.jpg']
        >>> manifest.digest[:8]
        '945e8752'
    """

    root: Path
    classes: tuple[str, ...]
    photos: tuple[Photo, ...]
    skipped: tuple[tuple[str, str], ...]

    def of(self, split: str) -> list[Photo]:
        """Return the photos of a split: ``train``, ``val`` or ``test``."""
        return [photo for photo in self.photos if photo.split == split]

    @property
    def counts(self) -> dict[str, int]:
        """Number of photos in each split."""
        counted = Counter(photo.split for photo in self.photos)
        return {split: counted[split] for split in SPLITS}

    @property
    def dropped(self) -> int:
        """Number of photos that ``data.drop`` keeps out of training."""
        return sum(photo.split == DROPPED for photo in self.photos)

    @property
    def digest(self) -> str:
        """Identity of the data set: SHA-256 over hash, class and split of every photo, no path."""
        lines = sorted(f"{p.sha256} {self.classes[p.label]} {p.split}" for p in self.photos)
        return hashlib.sha256("\n".join([*self.classes, *lines]).encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Write ``manifest.csv`` and ``skipped.csv`` into a folder."""
        columns = ("path", "label", "split", "size", "sha256", "orientation", "converted")
        rows = (
            (p.path, self.classes[p.label], p.split, p.size, p.sha256, p.orientation, p.converted)
            for p in self.photos
        )
        write_csv(folder / "manifest.csv", columns, rows)
        write_csv(folder / "skipped.csv", ("path", "reason"), self.skipped)
