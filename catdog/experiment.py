"""One run from its parts: features, LR test, training, evaluation, everything logged.

Works without Hydra:

    settings = Settings(data=Data(name="folder", path="photos"))
    tracker = tracking.Tracker(uri=None, experiment="catdog", root=Path.cwd())
    outcome = experiment.run(settings, manifest, weights, tracker)
"""

from __future__ import annotations

import contextlib
import math
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import keras
import numpy as np

from catdog import (
    backbone,
    evaluate,
    features,
    feed,
    fit,
    head,
    lr_range,
    model,
    optimizer,
    paths,
    pipeline,
    report,
)
from catdog.features import Extractor
from catdog.feed import Feed
from catdog.loop import Steps
from catdog.manifest import Manifest, Photo
from catdog.origin import Origin, commit
from catdog.progress import Progress
from catdog.settings import Settings
from catdog.tracking import Run, Tracker
from catdog.weights import Weights


@dataclass(frozen=True)
class Outcome:
    """What a run found.

    Attributes:
        objective: ``objective.metric`` at the best epoch.
        run_id: MLflow's.
        fitted: The training's history and best epoch.
        test: Scores on the test photos.
        suggestions: Of the LR range test; empty if it was off.
        seconds: Where the time went.
        parameters: Number of trainable weights.
    """

    objective: float
    run_id: str
    fitted: fit.Fitted
    test: evaluate.Scores
    suggestions: dict[str, float]
    seconds: dict[str, float]
    parameters: int


@dataclass
class Clock:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a stage."""
        start = time.perf_counter()
        yield
        spent = time.perf_counter() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + spent

    def total(self) -> float:
        """Return seconds since the clock was made."""
        return time.perf_counter() - self.started


def run(
    settings: Settings,
    manifest: Manifest,
    weights: Weights,
    tracker: Tracker,
    *,
    origin: Origin | None = None,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> Outcome:
    """Run one experiment and log it.

    Args:
        settings: All choices.
        manifest: The photos, from ``data.prepare``.
        weights: The backbone's, from ``weights.resolve``.
        tracker: The MLflow store.
        origin: The command that led here.
        progress: Hears of extraction, LR test and epochs.
        clock: Started earlier to include start-up in the total.

    Raises:
        ConfigError: features do not fit the store's disk or dtype.
        DataError: a photo changed while it was used.
    """
    origin, progress, clock = origin or Origin(), progress or Progress(), clock or Clock()
    clock.seconds["startup"] = clock.total()
    html = origin.kind == "run"  # a sweep's trials leave out the 4 MB HTML pages
    state = commit(paths.root())
    name, tags = report.run_name(settings), report.tags(origin, state)
    with _tracked(tracker, name, tags) as run:
        report.describe(run, settings, manifest, weights, origin, state)
        extractor = _extractor(settings, weights)
        with clock.stage("features"):
            feeds = _feeds(settings, manifest, extractor, progress)
        trained = _head(settings, extractor, manifest)
        suggestions: dict[str, float] = {}
        if settings.lr_range.enabled:
            with clock.stage("lr_range"):
                curve = _test_rates(settings, manifest, trained, feeds["train"], progress)
            suggestions = curve.suggestions
            settings = _apply(settings, suggestions)
            with clock.stage("logging"):
                report.lr_range(run, curve, settings, html=html)
        with clock.stage("fit"):
            fitted = _fit(settings, manifest, trained, feeds, run, progress)
        with clock.stage("logging"):
            report.training(run, fitted, html=html)
        with clock.stage("evaluate"):
            probabilities = evaluate.predict(trained, feeds["test"])
            labels = np.array([photo.label for photo in manifest.of("test")])
            scores = evaluate.score(probabilities, labels)
        with clock.stage("logging"):
            report.evaluation(run, manifest, probabilities, labels, scores)
        with clock.stage("model"):
            stitched = model.stitch(
                extractor.layers, extractor.prefix, trained, features_dtype=extractor.dtype
            )
            wanted = settings.tracking.log_model
            log_it = wanted == "always" or (wanted == "auto" and origin.kind == "run")
            report.checkpoint(run, stitched, manifest.classes, log_model=log_it)
        objective = fitted.at_best(settings.objective.metric)
        report.totals(run, clock.seconds, clock.total())
    seconds = {**clock.seconds, "total": clock.total()}
    return Outcome(
        objective, run.run_id, fitted, scores, suggestions, seconds, trained.count_params()
    )


@contextlib.contextmanager
def _tracked(tracker: Tracker, name: str, tags: dict[str, str]) -> Iterator[Run]:
    """Yield a run that is ended whatever happens."""
    run = tracker.start(name, tags)
    try:
        yield run
    except BaseException as error:
        killed = isinstance(error, (KeyboardInterrupt, SystemExit))
        with contextlib.suppress(OSError), run.folder("error") as place:
            (place / "traceback.txt").write_text(traceback.format_exc())
        run.end("KILLED" if killed else "FAILED")
        raise
    run.end("FINISHED")


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


def _feeds(
    settings: Settings, manifest: Manifest, extractor: Extractor, progress: Progress
) -> dict[str, Feed]:
    policy, seed = settings.augment.name, settings.seed
    tta = 2 if settings.evaluation.tta == "flip" else 1
    wanted = {
        "train": (policy, settings.augment.views),
        "val": ("flip", tta),
        "test": ("flip", tta),
    }
    if settings.features.mode == "stream":
        return {
            split: feed.Live(extractor, manifest.of(split), policy=rule, seed=seed, views=views)
            for split, (rule, views) in wanted.items()
        }
    root = Path(settings.features.dir).expanduser()
    ram = settings.features.ram_mb * 2**20
    sets = {
        split: features.ensure(
            root, extractor, manifest.of(split), policy=rule, views=views, seed=seed,
            progress=progress, split=split,
        )
        for split, (rule, views) in wanted.items()
    }  # fmt: skip
    if sum(held.nbytes for held in sets.values()) <= ram:
        return {split: feed.Resident(held) for split, held in sets.items()}
    return {split: feed.Streamed(held, ram) for split, held in sets.items()}


def _head(settings: Settings, extractor: Extractor, manifest: Manifest) -> keras.Model:
    keras.utils.set_random_seed(settings.seed)
    return head.build(
        extractor.shape,
        len(manifest.classes),
        units=settings.head.units,
        dropout=settings.head.dropout,
        precision=settings.trainer.precision,
        seed=settings.seed,
    )


def _steps(
    settings: Settings, manifest: Manifest, trained: keras.Model, rate: optimizer.Rate
) -> Steps:
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


def _test_rates(
    settings: Settings,
    manifest: Manifest,
    trained: keras.Model,
    train: Feed,
    progress: Progress,
) -> lr_range.Curve:
    choice = settings.lr_range
    with progress.track("LR range test", choice.steps) as advance:
        curve = lr_range.run(
            _steps(settings, manifest, trained, choice.min_lr),
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


def _apply(settings: Settings, suggestions: dict[str, float]) -> Settings:
    """Take the suggested rate, if one is asked for and there is one."""
    rate = suggestions.get(settings.lr_range.apply or "", math.nan)
    if math.isnan(rate):
        return settings
    return replace(settings, optimizer=replace(settings.optimizer, lr=rate))


def _fit(
    settings: Settings,
    manifest: Manifest,
    trained: keras.Model,
    feeds: dict[str, Feed],
    run: Run,
    progress: Progress,
) -> fit.Fitted:
    trainer, schedule = settings.trainer, settings.schedule
    rate = optimizer.schedule(
        schedule.name,
        settings.optimizer.lr,
        epochs=trainer.epochs,
        steps_per_epoch=math.ceil(feeds["train"].photos / trainer.batch_size),
        warmup_epochs=schedule.warmup_epochs,
        final_lr=schedule.final_lr,
    )
    plateau = fit.Plateau(schedule.factor, schedule.patience, schedule.final_lr)
    with progress.track("Training", trainer.epochs) as advance:

        def on_epoch(epoch: int, metrics: dict[str, float]) -> None:
            report.epoch(run, epoch, metrics)
            advance(1, f"val loss {metrics['val/loss']:.4f} acc {metrics['val/accuracy']:.4f}")

        return fit.fit(
            _steps(settings, manifest, trained, rate),
            feeds["train"],
            feeds["val"],
            epochs=trainer.epochs,
            rng=np.random.default_rng([settings.seed, 0]),
            monitor=trainer.monitor,
            patience=trainer.patience,
            plateau=plateau if schedule.name == "plateau" else None,
            on_epoch=on_epoch,
        )
