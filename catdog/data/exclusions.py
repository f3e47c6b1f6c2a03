"""Photos with doubtful labels: read from a list, kept out of training and out of nothing else.

Validation and test keep theirs: a run without its hard photos would only look better.
"""

from __future__ import annotations

import csv
from collections.abc import Set
from dataclasses import replace
from pathlib import Path

from catdog.data.manifest import DROPPED, Manifest
from catdog.errors import DataError

KEY, SURE = "sha256", "probability_of_suggested"


def read(path: Path, above: float) -> set[str]:
    """Return the SHA-256 of the photos that a list names.

    Args:
        path: A CSV with a column ``sha256``, such as ``suspects.csv`` of ``catdog.suspects``.
        above: In [0, 1]. Above 0 only rows whose ``probability_of_suggested`` is at least this.

    Raises:
        DataError: there is no such list.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "no text"
        raise DataError(path, f"cannot be read ({why})", "data.drop=suspects.csv") from None
    wanted = (KEY, SURE) if above else (KEY,)
    if rows and (missing := [name for name in wanted if name not in rows[0]]):
        raise DataError(
            path, f"has no column {missing[0]}", "Take suspects.csv, which catdog.suspects writes"
        )
    try:
        return {row[KEY] for row in rows if not above or float(row[SURE]) >= above}
    except (TypeError, ValueError):  # a table that was cut by hand
        raise DataError(
            path, f"has a {SURE} that is no number", "Mend that row, or data.drop_above=0"
        ) from None


def apply(made: Manifest, listed: Set[str], name: str) -> Manifest:
    """Take listed photos out of the training split.

    Args:
        made: All photos.
        listed: SHA-256 of photos.
        name: What the list is called.

    Raises:
        DataError: the list is about other photos, or nothing of a class would be left.
    """
    if listed and not listed & {photo.sha256 for photo in made.photos}:
        raise DataError(name, "names none of these photos", "Make it anew from them")
    photos = tuple(
        replace(photo, split=DROPPED)
        if photo.split == "train" and photo.sha256 in listed
        else photo
        for photo in made.photos
    )
    left = {photo.label for photo in photos if photo.split == "train"}
    for label, of_class in enumerate(made.classes):
        if label not in left:
            raise DataError(
                name, f"leaves no photo of class {of_class} in train", "A higher data.drop_above"
            )
    return replace(made, photos=photos)
