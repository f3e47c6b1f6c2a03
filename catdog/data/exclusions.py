"""Photos with doubtful labels: read from a table and kept out of training, and only there.

Validation and test keep theirs: without its hard photos a run would only look better.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from pathlib import Path

from catdog.core import tables
from catdog.data.manifest import DROPPED, Manifest
from catdog.errors import DataError

HASH, PROBABILITY = "sha256", "probability_of_suggested"
"""Columns of the table."""


def read(path: Path, above: float) -> set[str]:
    """Return the SHA-256 hashes of the photos that a table lists.

    Args:
        path: A CSV file with a column ``sha256``, such as ``suspects.csv`` of ``catdog.suspects``.
        above: Least ``probability_of_suggested`` of the rows that count, in [0, 1]; at 0 all rows
            do, and the column may be missing.

    Raises:
        DataError: the file cannot be read, lacks a column, or has a probability that is no number.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = tables.read_rows(file.read())
    except (OSError, ValueError) as error:
        text = "no text" if isinstance(error, UnicodeDecodeError) else error
        why = getattr(error, "strerror", None) or text
        raise DataError(path, f"cannot be read ({why})", "data.drop=suspects.csv") from None
    needed = (HASH, PROBABILITY) if above else (HASH,)
    if rows and (missing := [name for name in needed if name not in rows[0]]):
        raise DataError(
            path, f"has no column {missing[0]}", "Take suspects.csv, which catdog.suspects writes"
        )
    try:
        return {row[HASH] for row in rows if not above or float(row[PROBABILITY]) >= above}
    except (TypeError, ValueError):  # a table that was edited by hand
        raise DataError(
            path,
            f"has a {PROBABILITY} that is no number",
            "Correct that row, or data.drop_above=0",
        ) from None


def apply(manifest: Manifest, listed: Set[str], name: str) -> Manifest:
    """Take the listed photos out of the training split.

    Args:
        manifest: All photos.
        listed: SHA-256 hashes of photos.
        name: Name of the table, for messages.

    Returns:
        The manifest with the split ``DROPPED`` for training photos that are listed.

    Raises:
        DataError: the table lists none of the photos, or all training photos of a class.
    """
    if listed and not listed & {photo.sha256 for photo in manifest.photos}:
        raise DataError(name, "lists none of these photos", "Make it again from them")
    photos = tuple(
        replace(photo, split=DROPPED)
        if photo.split == "train" and photo.sha256 in listed
        else photo
        for photo in manifest.photos
    )
    left = {photo.label for photo in photos if photo.split == "train"}
    for label, of_class in enumerate(manifest.classes):
        if label not in left:
            raise DataError(
                name, f"leaves no photo of class {of_class} in train", "A higher data.drop_above"
            )
    return replace(manifest, photos=photos)
