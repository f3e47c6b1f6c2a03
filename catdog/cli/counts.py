"""What a data set was understood as: its classes, and the photos of each split, in 80 columns."""

from __future__ import annotations

import textwrap
from collections import Counter

from catdog.core import tables
from catdog.data.manifest import SPLITS, Manifest
from catdog.errors import shown

WIDTH = 80
ROWS = 20
"""Largest number of classes that have a line each."""

NAME = 36
"""Longest name of a class, in characters; a longer one is cut."""


def lines(manifest: Manifest) -> list[str]:
    r"""Return the lines that say which classes there are, with their photos by split.

    Args:
        manifest: The photos.

    Returns:
        Lines of at most 80 characters: a table, or with many classes a running text.

    Example:
        >>> from pathlib import Path
        >>> from catdog.data.manifest import Photo
        >>> photos = tuple(Photo(s, s, 0, s, 9, s) for s in SPLITS)
        >>> print("\n".join(lines(Manifest(Path("/"), ("cat", "dog"), photos, ()))))
        2 classes, 3 photos: 1 train, 1 val, 1 test
                  train       val      test
          cat         1         1         1
          dog         0         0         0
        No photo of dog in train, val, test
    """
    counted = Counter((photo.label, photo.split) for photo in manifest.photos)
    rows = [
        (shown(name, NAME), [counted[label, split] for split in SPLITS])
        for label, name in enumerate(manifest.classes)
    ]
    told = ", ".join(f"{count:,} {split}" for split, count in manifest.counts.items())
    told += f"; {len(manifest.skipped):,} skipped" if manifest.skipped else ""
    classes = f"{len(rows)} class{'es' * (len(rows) != 1)}"
    head = f"{classes}, {sum(manifest.counts.values()):,} photos: {told}"
    body = _table(rows) if len(rows) <= ROWS else _running(rows)
    return [*textwrap.wrap(head, WIDTH), *body, *_empty(rows)]


def _table(rows: list[tuple[str, list[int]]]) -> list[str]:
    width = max(tables.width(name) for name, _ in rows)
    head = " " * (width + 2) + "".join(f"{split:>10}" for split in SPLITS)
    return [head] + [
        f"  {tables.padded(name, width)}" + "".join(f"{count:>10,}" for count in own)
        for name, own in rows
    ]


def _running(rows: list[tuple[str, list[int]]]) -> list[str]:
    parts = [
        f"{name} {'/'.join(map(str, own))}".replace(" ", "\N{NO-BREAK SPACE}")
        for name, own in rows
    ]
    text = f"{'/'.join(SPLITS)} of each: " + ", ".join(parts)
    wrapped = textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in wrapped]


def _empty(rows: list[tuple[str, list[int]]]) -> list[str]:
    lacks = {name: [s for s, n in zip(SPLITS, own, strict=True) if not n] for name, own in rows}
    text = "; ".join(f"{name} in {', '.join(of)}" for name, of in lacks.items() if of)
    return textwrap.wrap(f"No photo of {text}", WIDTH) if text else []
