"""The demo data set, for a machine that has no photos: drawn once, kept whole.

Its pictures are drawings, and a score on them says nothing about photos.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from catdog.core.files import make_once
from catdog.data.demo_faces import CLASSES, draw
from catdog.errors import DataError

# Part of the folder's name: raise it whenever a change alters any picture.
VERSION = "v1"

_MOST_PER_CLASS = 100_000


def ensure(
    folder: Path,
    *,
    per_class: int = 400,
    seed: int = 0,
    notify: Callable[[str], None] | None = None,
) -> Path:
    """Draw the demo data set once; later calls only check that it is complete.

    Two processes that start at once draw it once, and a folder that can be seen under its final
    name is whole: the pictures are drawn beside it and renamed.

    Args:
        folder: Where demo data sets live; each gets a folder of its own in it.
        per_class: Pictures per class, 1 to 100,000.
        seed: Which data set, 0 or more. Two seeds share no picture.
        notify: Called with one line of text before the drawing starts.

    Returns:
        ``folder/<version>-<seed>-<per_class>``, with the folders ``cat`` and ``dog``.

    Raises:
        ValueError: If `per_class` or `seed` is out of range.
        DataError: If the pictures cannot be written there.
    """
    if not 1 <= per_class <= _MOST_PER_CLASS or seed < 0:
        raise ValueError(
            f"per_class={per_class}, seed={seed}: expected 1 <= per_class <= {_MOST_PER_CLASS:,} "
            "and seed >= 0"
        )
    target = Path(folder) / f"{VERSION}-{seed}-{per_class}"

    def draw_all(partial: Path) -> None:
        if notify is not None:
            notify(f"Drawing {len(CLASSES) * per_class} demo pictures in {target}")
        _draw_all(partial, per_class, seed)

    try:
        make_once(target, draw_all, is_whole=lambda made: _is_complete(made, per_class))
    except OSError as error:
        fix = "Choose a folder that can be written and has 30 MB free."
        raise DataError(target, f"the demo pictures cannot be kept here ({error})", fix) from error
    return target


def _names(per_class: int) -> list[str]:
    return [f"{number:04d}.jpg" for number in range(per_class)]


def _is_complete(target: Path, per_class: int) -> bool:
    for label in CLASSES:
        if not (target / label).is_dir():
            return False
        # A crash of the machine can leave files that have a name but no content yet.
        drawn = {entry.name for entry in os.scandir(target / label) if entry.stat().st_size}
        if not drawn.issuperset(_names(per_class)):
            return False
    return True


def _draw_all(folder: Path, per_class: int, seed: int) -> None:
    for label in CLASSES:
        (folder / label).mkdir()
        for number, name in enumerate(_names(per_class)):
            draw(label, seed * _MOST_PER_CLASS + number).save(folder / label / name, quality=90)
