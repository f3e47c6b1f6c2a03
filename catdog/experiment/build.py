"""Build from settings what a run trains and feeds: head, feeds, compiled steps, schedule."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import keras
import numpy as np

from catdog.core import paths
from catdog.core.memo import Memo
from catdog.data.manifest import Manifest, Photo
from catdog.experiment import prefix
from catdog.features import extraction
from catdog.features.extractor import Extractor
from catdog.features.feeds import Feed, Live, Resident, Streamed
from catdog.models import backbone, end_to_end, head
from catdog.models.pretrained import Weights
from catdog.progress import Progress
from catdog.settings import Settings
from catdog.training import lr_range, optimizers, schedules
from catdog.training.steps import Steps


@dataclass(frozen=True)
class Stage:
    """A model that is trained, and its features.

    Attributes:
        extractor: The frozen part: photos to features.
        feeds: The features of ``train``, ``val`` and ``test``.
        head: The last layers, up to logits.
        suffix: The unfrozen end of a cut backbone, between features and head; None if the whole
            backbone is frozen.
        trained: The model that is trained, from features to logits: suffix and head.
    """

    extractor: Extractor
    feeds: dict[str, Feed]
    head: keras.Model
    suffix: keras.Model | None
    trained: keras.Model


def first_stage(
    settings: Settings, manifest: Manifest, extractor: Extractor, feeds: dict[str, Feed]
) -> Stage:
    """Build a new head on the features of the whole backbone.

    Args:
        settings: All settings.
        manifest: The photos.
        extractor: From ``prefix.extractor``.
        feeds: From ``feeds``.
    """
    trained = new_head(settings, extractor, manifest)
    return Stage(extractor, feeds, trained, None, trained)


def second_stage(
    settings: Settings,
    manifest: Manifest,
    weights: Weights,
    memo: Memo,
    head: keras.Model,
    progress: Progress,
) -> Stage:
    """Build the fine-tuning stage: the unfrozen end of the backbone and the trained head.

    The end is a copy, because the trials of one process share the backbone.

    Args:
        settings: All settings, with ``backbone.unfreeze_from``.
        manifest: The photos.
        weights: The backbone's weights, from ``pretrained.resolve``.
        memo: What the trials of one process share.
        head: The head of the first stage.
        progress: Receives the progress of the extraction.
    """
    cut = prefix.cut(settings, weights, memo)
    maps = feeds(settings, manifest, cut.extractor, progress)
    keras.utils.set_random_seed(settings.seed)  # some networks have stochastic depth
    suffix = backbone.unfrozen(cut.suffix)
    return Stage(cut.extractor, maps, head, suffix, end_to_end.joined(suffix, head))


def feeds(
    settings: Settings, manifest: Manifest, extractor: Extractor, progress: Progress
) -> dict[str, Feed]:
    """Make the feeds of all splits, after computing what the feature store lacks.

    Args:
        settings: All settings.
        manifest: The photos.
        extractor: Computes the features.
        progress: Receives the progress of the extraction.

    Returns:
        The feeds of ``train``, ``val`` and ``test``.

    Raises:
        ConfigError: features do not fit on the disk or in ``features.dtype``.
        DataError: a photo was removed or changed since it was indexed.
    """
    policy, seed = settings.augment.name, settings.seed
    tta = 2 if settings.evaluation.tta == "flip" else 1
    wanted = {
        "train": (policy, settings.augment.views),
        "val": ("flip", tta),
        "test": ("flip", tta),
    }
    if settings.features.mode == "stream":
        return {
            split: Live(extractor, manifest.of(split), policy=name, seed=seed, views=views)
            for split, (name, views) in wanted.items()
        }
    root = paths.expanded(settings.features.dir)
    ram = settings.features.ram_mb * 2**20
    cut = f" before {block}" if (block := extractor.facts["cut"]) else ""
    sets = {
        split: extraction.ensure(
            root, extractor, manifest.of(split), policy=name, views=views, seed=seed,
            progress=progress, split=split + cut,
        )
        for split, (name, views) in wanted.items()
    }  # fmt: skip
    if sum(features.nbytes for features in sets.values()) <= ram:
        return {split: Resident(features) for split, features in sets.items()}
    return {split: Streamed(features, ram) for split, features in sets.items()}


def new_head(settings: Settings, extractor: Extractor, manifest: Manifest) -> keras.Model:
    """Build a head with new weights: features to logits."""
    keras.utils.set_random_seed(settings.seed)
    return head.build(
        extractor.shape,
        len(manifest.classes),
        units=settings.head.units,
        dropout=settings.head.dropout,
        precision=settings.trainer.precision,
        seed=settings.seed,
    )


def steps(
    settings: Settings, manifest: Manifest, trained: keras.Model, rate: schedules.Rate
) -> Steps:
    """Make the compiled training steps of a model, with a new optimizer.

    Args:
        settings: All settings.
        manifest: The photos, for class weights.
        trained: The model, from features to logits.
        rate: Learning rate or schedule.
    """
    choice, trainer = settings.optimizer, settings.trainer
    return Steps(
        trained,
        optimizers.build(
            choice.name,
            rate,
            weight_decay=choice.weight_decay,
            momentum=choice.momentum,
            nesterov=choice.nesterov,
            clipnorm=choice.clipnorm,
            precision=trainer.precision,
        ),
        batch_size=trainer.batch_size,
        label_smoothing=trainer.label_smoothing,
        class_weights=_class_weights(manifest.of("train"), len(manifest.classes))
        if trainer.class_weight
        else None,
        ema=trainer.ema,
    )


def _class_weights(photos: list[Photo], classes: int) -> list[float]:
    """Return (classes,) weights that give all classes the same total, like scikit-learn's."""
    counts = Counter(photo.label for photo in photos)
    return [len(photos) / (classes * counts[label]) for label in range(classes)]


def learning_rate(settings: Settings, photos: int, *, lr: float, epochs: int) -> schedules.Rate:
    """Build the learning rate or schedule of a stage.

    Args:
        settings: All settings.
        photos: Number of training photos.
        lr: The highest learning rate.
        epochs: Length of the stage.
    """
    schedule = settings.schedule
    return schedules.schedule(
        schedule.name,
        lr,
        epochs=epochs,
        steps_per_epoch=math.ceil(photos / settings.trainer.batch_size),
        warmup_epochs=schedule.warmup_epochs,
        final_lr=schedule.final_lr,
    )


def range_test(
    settings: Settings,
    manifest: Manifest,
    trained: keras.Model,
    train: Feed,
    progress: Progress,
) -> lr_range.Curve:
    """Run the LR range test, which leaves the model unchanged.

    Args:
        settings: All settings.
        manifest: The photos, for class weights.
        trained: The model, from features to logits.
        train: The features of the training photos.
        progress: Receives the steps of the test.
    """
    choice = settings.lr_range
    with progress.track("LR range test", choice.steps) as advance:
        curve = lr_range.run(
            steps(settings, manifest, trained, choice.min_lr),
            train,
            min_lr=choice.min_lr,
            max_lr=choice.max_lr,
            count=choice.steps,
            rng=np.random.default_rng([settings.seed, 1]),
            on_step=lambda: advance(1),
        )
        if curve.diverged:
            advance(choice.steps - len(curve.lr), f"diverged at {curve.lr[-1]:.1e}")
        return curve
