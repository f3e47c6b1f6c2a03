"""What a run needs before TensorFlow loads: photos, weights, and a cache that can be written."""

from __future__ import annotations

from catdog import data
from catdog.cli import counts
from catdog.core import paths, runtime
from catdog.core.memo import Memo
from catdog.data.manifest import Manifest
from catdog.models import pretrained
from catdog.models.pretrained import Weights
from catdog.progress import Progress
from catdog.settings import Settings


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
        for line in counts.lines(manifest):
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
