"""From settings to what a run is made of: prefix, feeds, head, steps, LR range test."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable
from dataclasses import astuple, dataclass
from pathlib import Path

import keras
import numpy as np

from catdog.core.memo import Memo
from catdog.data.manifest import Manifest, Photo
from catdog.features import batches, extraction
from catdog.features.extractor import Extractor
from catdog.features.feeds import Feed, Live, Resident, Streamed
from catdog.models import backbone, end_to_end, head
from catdog.models.backbone import Backbone
from catdog.models.pretrained import Weights
from catdog.progress import Progress
from catdog.settings import Settings
from catdog.training import lr_range, optimizers, schedules
from catdog.training.steps import Steps


@dataclass(frozen=True)
class Stage:
    """What is trained, and on what.

    Attributes:
        extractor: The frozen part, photos to features.
        feeds: Of ``train``, ``val`` and ``test``.
        head: Its last layers, to logits.
        suffix: Of a cut backbone the unfrozen end, between features and head.
        trained: Features to logits: suffix and head.
    """

    extractor: Extractor
    feeds: dict[str, Feed]
    head: keras.Model
    suffix: keras.Model | None
    trained: keras.Model


def first_stage(
    settings: Settings, manifest: Manifest, source: Extractor, feeds: dict[str, Feed]
) -> Stage:
    """Return a new head on the features of the whole backbone."""
    trained = trainable(settings, source, manifest)
    return Stage(source, feeds, trained, None, trained)


def second_stage(
    settings: Settings,
    manifest: Manifest,
    weights: Weights,
    memo: Memo,
    head: keras.Model,
    progress: Progress,
) -> Stage:
    """Return the end of the backbone and a head, on what the store keeps of the cut.

    The end is a copy: what trials share stays as it was loaded.

    Args:
        settings: With ``backbone.unfreeze_from``.
        manifest: The photos.
        weights: The backbone's.
        memo: What trials of one process share.
        head: From the first stage.
        progress: Hears of the extraction.
    """
    cut = memo.get("cut", _key(settings, weights), lambda: _cut(settings, weights, memo))
    own = feeds(settings, manifest, cut.extractor, progress)
    keras.utils.set_random_seed(settings.seed)  # some networks drop paths
    suffix = backbone.unfrozen(cut.rest)
    return Stage(cut.extractor, own, head, suffix, end_to_end.joined(suffix, head))


@dataclass(frozen=True)
class _Cut:
    """A backbone in two: photos to a map, and from there to pooled features."""

    extractor: Extractor
    rest: keras.Model


def _cut(settings: Settings, weights: Weights, memo: Memo) -> _Cut:
    built, pooling = _backbone(settings, weights, memo), settings.head.pooling
    block = str(settings.backbone.block)
    before = backbone.layer_before(built, block)
    prefix = backbone.prefix(built, pooling=pooling, cut=before)
    # by the block: Keras numbers nameless layers anew in every process; how the map is pooled
    # later is no matter of the store's
    facts = {"cut": block, "pooling": None}
    return _Cut(
        _extracting(settings, built, prefix, facts),
        backbone.suffix(built, pooling=pooling, cut=before),
    )


def extractor(settings: Settings, weights: Weights, memo: Memo) -> Extractor:
    """Return the whole backbone as a frozen prefix, which trials of one process share."""

    def make() -> Extractor:
        built, pooling = _backbone(settings, weights, memo), settings.head.pooling
        prefix = backbone.prefix(built, pooling=pooling)
        return _extracting(settings, built, prefix, {"cut": None, "pooling": pooling})

    return memo.get("extractor", _key(settings, weights), make)


def _key(settings: Settings, weights: Weights) -> Hashable:
    """Return all that a prefix and its rows depend on."""
    store, seed = settings.features, settings.seed if weights.path is None else 0
    return (
        astuple(settings.backbone), settings.head.pooling, store.dtype, store.batch_size, weights,
        seed,
    )  # fmt: skip


def _backbone(settings: Settings, weights: Weights, memo: Memo) -> Backbone:
    """Build the network; the prefixes of both stages share it."""
    choice, key = settings.backbone, _key(settings, weights)
    return memo.get(
        "backbone",
        key,
        lambda: backbone.build(
            choice.name,
            image_size=choice.image_size,
            alpha=choice.alpha,
            weights=weights,
            seed=settings.seed,
        ),
    )


def _extracting(
    settings: Settings, built: Backbone, prefix: keras.Model, facts: dict[str, str | None]
) -> Extractor:
    choice = settings.backbone
    known = {
        "backbone": choice.name,
        "weights": built.weights_hash,
        "image_size": choice.image_size,
        "resize": choice.resize,
    }
    return Extractor(
        prefix,
        batches.preprocessing(choice.image_size, choice.resize, built.scaling),
        {**known, **facts},
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
            split: Live(source, manifest.of(split), policy=rule, seed=seed, views=views)
            for split, (rule, views) in wanted.items()
        }
    root = Path(settings.features.dir).expanduser()
    ram = settings.features.ram_mb * 2**20
    cut = f" before {block}" if (block := source.facts["cut"]) else ""
    sets = {
        split: extraction.ensure(
            root, source, manifest.of(split), policy=rule, views=views, seed=seed,
            progress=progress, split=split + cut,
        )
        for split, (rule, views) in wanted.items()
    }  # fmt: skip
    if sum(held.nbytes for held in sets.values()) <= ram:
        return {split: Resident(held) for split, held in sets.items()}
    return {split: Streamed(held, ram) for split, held in sets.items()}


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
    settings: Settings, manifest: Manifest, trained: keras.Model, rate: schedules.Rate
) -> Steps:
    """Compile training steps with a fresh optimizer."""
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
    counts = Counter(photo.label for photo in photos)
    return [len(photos) / (classes * counts[label]) for label in range(classes)]


def scheduled(settings: Settings, photos: int, *, lr: float, epochs: int) -> schedules.Rate:
    """Return a stage's learning rate, or its schedule over ``photos`` a training epoch."""
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
