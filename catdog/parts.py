"""From settings to what a run is made of: prefix, feeds, head, steps, LR range test."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import astuple
from pathlib import Path

import keras
import numpy as np

from catdog import backbone, features, feed, head, lr_range, optimizer, pipeline
from catdog.features import Extractor
from catdog.feed import Feed
from catdog.kept import Kept
from catdog.loop import Steps
from catdog.manifest import Manifest, Photo
from catdog.progress import Progress
from catdog.settings import Settings
from catdog.weights import Weights


def extractor(settings: Settings, weights: Weights, kept: Kept) -> Extractor:
    """Return the frozen prefix, which trials of one process share."""
    store, seed = settings.features, settings.seed if weights.path is None else 0
    key = (
        astuple(settings.backbone), settings.head.pooling, store.dtype, store.batch_size, weights,
        seed,
    )  # fmt: skip
    return kept.get("extractor", key, lambda: _extractor(settings, weights))


def _extractor(settings: Settings, weights: Weights) -> Extractor:
    choice = settings.backbone
    built = backbone.build(
        choice.name,
        image_size=choice.image_size,
        alpha=choice.alpha,
        weights=weights,
        seed=settings.seed,
    )
    facts = {
        "backbone": choice.name,
        "weights": built.weights_hash,
        "cut": choice.unfreeze_from,
        "pooling": settings.head.pooling,
        "image_size": choice.image_size,
        "resize": choice.resize,
    }
    return Extractor(
        backbone.prefix(built, pooling=settings.head.pooling),
        pipeline.preprocessing(choice.image_size, choice.resize, built.scaling),
        facts,
        settings.features.dtype,
        settings.features.batch_size,
    )


def feeds(
    settings: Settings, manifest: Manifest, source: Extractor, progress: Progress
) -> dict[str, Feed]:
    """Return what feeds ``train``, ``val`` and ``test``; features not in the store are computed.

    Raises:
        ConfigError: features do not fit the store's disk or dtype.
        DataError: a photo changed since it was indexed.
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
            split: feed.Live(source, manifest.of(split), policy=rule, seed=seed, views=views)
            for split, (rule, views) in wanted.items()
        }
    root = Path(settings.features.dir).expanduser()
    ram = settings.features.ram_mb * 2**20
    sets = {
        split: features.ensure(
            root, source, manifest.of(split), policy=rule, views=views, seed=seed,
            progress=progress, split=split,
        )
        for split, (rule, views) in wanted.items()
    }  # fmt: skip
    if sum(held.nbytes for held in sets.values()) <= ram:
        return {split: feed.Resident(held) for split, held in sets.items()}
    return {split: feed.Streamed(held, ram) for split, held in sets.items()}


def trainable(settings: Settings, source: Extractor, manifest: Manifest) -> keras.Model:
    """Build the head, from features to logits."""
    keras.utils.set_random_seed(settings.seed)
    return head.build(
        source.shape,
        len(manifest.classes),
        units=settings.head.units,
        dropout=settings.head.dropout,
        precision=settings.trainer.precision,
        seed=settings.seed,
    )


def steps(
    settings: Settings, manifest: Manifest, trained: keras.Model, rate: optimizer.Rate
) -> Steps:
    """Compile training steps with a fresh optimizer."""
    choice, trainer = settings.optimizer, settings.trainer
    return Steps(
        trained,
        optimizer.build(
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
    counts = Counter(photo.label for photo in photos)
    return [len(photos) / (classes * counts[label]) for label in range(classes)]


def scheduled(settings: Settings, photos: int) -> optimizer.Rate:
    """Return the learning rate, or its schedule over ``photos`` a training epoch."""
    trainer, schedule = settings.trainer, settings.schedule
    return optimizer.schedule(
        schedule.name,
        settings.optimizer.lr,
        epochs=trainer.epochs,
        steps_per_epoch=math.ceil(photos / trainer.batch_size),
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
    """Run the LR range test; the model is afterwards what it was."""
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
            advance(choice.steps - len(curve.lr), f"blew up at {curve.lr[-1]:.1e}")
        return curve
