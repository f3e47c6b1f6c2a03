"""What a run needs before TensorFlow loads: photos, weights, and a cache that can be written."""

from __future__ import annotations

import textwrap
from collections import Counter

from catdog import data
from catdog.core import paths, runtime, tables
from catdog.core.memo import Memo
from catdog.data.manifest import SPLITS, Manifest
from catdog.errors import shown
from catdog.models import pretrained
from catdog.models.pretrained import Weights
from catdog.progress import Progress
from catdog.settings import Settings

WIDTH = 80
ROWS = 20
"""Largest number of classes that have a line each."""

NAME = 36
"""Longest name of a class, in characters; a longer one is cut."""


def photos(
    settings: Settings, progress: Progress, memo: Memo | None = None, *, to_train: bool = True
) -> Manifest:
    """Return the manifest of the photos; set the number of threads for TensorFlow.

    Args:
        settings: The settings of the run.
        progress: Receives the progress of unpacking, drawing and checking.
        memo: Keeps the manifest for the next trial of this process.
        to_train: Whether a model is trained on them, or only evaluated.

    Raises:
        ConfigError: ``features.dir`` cannot be written.
        DataError: there are no usable photos.
    """
    runtime.configure(settings.threads)
    cache = paths.expanded(settings.features.dir)
    data.require_writable(cache)
    manifest = (memo or Memo()).get(
        "manifest",
        (repr(settings.data), cache),
        lambda: data.prepare(settings.data, cache, progress, settings.threads, to_train=to_train),
    )
    if memo is None:  # of a search the preflight says it, once
        for line in counted(manifest):
            progress.note(line)
    return manifest


def photos_and_weights(
    settings: Settings, progress: Progress, memo: Memo | None = None
) -> tuple[Manifest, Weights]:
    """Return the manifest of the photos, as ``photos`` does, and the backbone's weights.

    Args:
        settings: The settings of the run.
        progress: Receives the progress of unpacking, drawing, checking and downloading.
        memo: Keeps both for the next trial of this process.

    Raises:
        ConfigError: there are no weights, or ``features.dir`` cannot be written.
        DataError: there are no usable photos.
    """
    manifest, choice = photos(settings, progress, memo), settings.backbone
    found = (memo or Memo()).get(
        "weights",
        (choice, settings.features.dir),
        lambda: pretrained.resolve(
            choice.name,
            alpha=choice.alpha,
            weights=choice.weights,
            source=choice.weights_source,
            cache_dir=paths.expanded(settings.features.dir),
            notify=progress.note,
        ),
    )
    return manifest, found


def counted(manifest: Manifest) -> list[str]:
    r"""Return the lines that say which classes there are, with their photos by split.

    Args:
        manifest: The photos.

    Returns:
        Lines of at most 80 characters: a table, or with many classes a running text.

    Example:
        >>> from pathlib import Path
        >>> from catdog.data.manifest import Photo
        >>> photos = tuple(Photo(s, s, 0, s, 9, s) for s in SPLITS)
        >>> print("\n".join(counted(Manifest(Path("/"), ("cat", "dog"), photos, ()))))
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
