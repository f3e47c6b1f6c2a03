"""The demo data set, for a machine without photos: drawn once and kept in the cache.

Its pictures are drawings; a score on them says nothing about photos.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from catdog.core.files import make_once
from catdog.data.demo_faces import CLASSES, draw
from catdog.errors import DataError

VERSION = "v1"
"""Part of the folder's name; to be raised whenever a change alters any picture."""

_MAX_PER_CLASS = 100_000


def ensure(
    folder: Path,
    *,
    per_class: int = 400,
    seed: int = 0,
    notify: Callable[[str], None] | None = None,
) -> Path:
    """Draw the demo data set unless it exists and is complete.

    Of several processes one draws it and the others wait; see ``catdog.core.files.make_once``.

    Args:
        folder: Folder of all demo data sets; each has a folder of its own in it.
        per_class: Pictures per class, 1 to 100,000.
        seed: Number of the data set, at least 0. Two seeds share no picture.
        notify: Called with one line of text before the drawing starts.

    Returns:
        ``folder/<version>-<seed>-<per_class>``, with the folders ``cat`` and ``dog``.

    Raises:
        ValueError: ``per_class`` or ``seed`` is out of range.
        DataError: the pictures cannot be written.
    """
    if not 1 <= per_class <= _MAX_PER_CLASS or seed < 0:
        raise ValueError(
            f"per_class={per_class}, seed={seed}: expected 1 <= per_class <= {_MAX_PER_CLASS:,} "
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


def _is_complete(target: Path, per_class: int) -> bool:
    for label in CLASSES:
        if not (target / label).is_dir():
            return False
        # after a crash of the machine files may be empty
        drawn = {entry.name for entry in os.scandir(target / label) if entry.stat().st_size}
        if not drawn.issuperset(_names(per_class)):
            return False
    return True


def _draw_all(folder: Path, per_class: int, seed: int) -> None:
    for label in CLASSES:
        (folder / label).mkdir()
        for number, name in enumerate(_names(per_class)):
            draw(label, seed * _MAX_PER_CLASS + number).save(folder / label / name, quality=90)


def _names(per_class: int) -> list[str]:
    return [f"{number:04d}.jpg" for number in range(per_class)]
