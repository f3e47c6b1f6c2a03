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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from catdog.core import paths
from catdog.core.memo import Memo
from catdog.core.provenance import Provenance, commit
from catdog.data.manifest import Manifest
from catdog.evaluation.metrics import Scores, score
from catdog.experiment import build, run_report
from catdog.models import end_to_end
from catdog.models.pretrained import Weights
from catdog.progress import Progress, Watcher
from catdog.settings import Settings
from catdog.tracking import Tracker, names
from catdog.tracking.run import Run
from catdog.training import fit, steps


class Pruned(Exception):
    """The watcher ended the training; the run is logged so far and FINISHED."""


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
    test: Scores
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
    provenance: Provenance | None = None,
    progress: Progress | None = None,
    watcher: Watcher | None = None,
    clock: Clock | None = None,
    memo: Memo | None = None,
) -> Outcome:
    """Run one experiment and log it.

    Args:
        settings: All choices.
        manifest: The photos, from ``data.prepare``.
        weights: The backbone's, from ``weights.resolve``.
        tracker: The MLflow store.
        provenance: The command that led here.
        progress: Hears of extraction, LR test and epochs.
        watcher: Hears of the run's start, epochs and result, and may give the training up.
        clock: Started earlier to include start-up in the total.
        memo: What earlier runs of this process left.

    Raises:
        ConfigError: features do not fit the store's disk or dtype.
        DataError: a photo changed while it was used.
        Pruned: the watcher ended the training.
    """
    provenance, progress = provenance or Provenance(), progress or Progress()
    watcher, clock, memo = watcher or Watcher(), clock or Clock(), memo or Memo()
    clock.seconds["startup"] = clock.total()
    state = memo.get("commit", (), lambda: commit(paths.root()))
    name, tags = run_report.run_name(settings), names.run_tags(provenance, state)
    with _tracked(tracker, f"{provenance.label} {name}".strip(), tags, watcher) as run:
        with clock.stage("logging"):
            run_report.describe(run, settings, manifest, weights, provenance, state)
        with clock.stage("build"):
            extractor = build.extractor(settings, weights, memo)
        with clock.stage("features"):
            feeds = build.feeds(settings, manifest, extractor, progress)
        with clock.stage("build"):
            stage = build.first_stage(settings, manifest, extractor, feeds)
        work = _Work(
            run, settings, manifest, weights, stage, provenance, progress, watcher, clock, memo
        )
        suggestions = work.test_rates()
        fitted = work.train()
        scores = work.evaluate()
        work.conclude(fitted, scores)
        work.save()
        objective = fitted.at_best(settings.objective.metric)
        run_report.totals(run, clock.seconds, clock.total())
        watcher.on_objective(objective)
    seconds = {**clock.seconds, "total": clock.total()}
    trained = sum(math.prod(v.shape) for v in work.stage.trained.trainable_variables)
    return Outcome(objective, run.run_id, fitted, scores, suggestions, seconds, trained)


@contextlib.contextmanager
def _tracked(
    tracker: Tracker, name: str, tags: Mapping[str, str], watcher: Watcher
) -> Iterator[Run]:
    """Yield a run that is ended whatever happens."""
    run = tracker.start(name, tags)
    try:
        watcher.on_start(run.run_id, tracker.shown_uri)
        yield run
    except Pruned:
        run.end("FINISHED")
        run.tags(watcher.end_tags("PRUNED"))
        raise
    except BaseException as error:
        run.fail(error)
        run.tags(watcher.end_tags("FAIL"))
        raise
    run.end("FINISHED")
    run.tags(watcher.end_tags("COMPLETE"))


@dataclass
class _Work:
    """A run under way: what its stages share."""

    run: Run
    settings: Settings
    manifest: Manifest
    weights: Weights
    stage: build.Stage
    provenance: Provenance
    progress: Progress
    watcher: Watcher
    clock: Clock
    memo: Memo

    def __post_init__(self) -> None:
        # a sweep's trials leave out the 4 MB HTML pages
        self.html = self.provenance.kind == "run"

    def test_rates(self) -> dict[str, float]:
        """Run the LR range test, if it is on, and take its suggestion, if one is asked for."""
        if not self.settings.lr_range.enabled:
            return {}
        with self.clock.stage("lr_range"):
            curve = build.range_test(
                self.settings,
                self.manifest,
                self.stage.trained,
                self.stage.feeds["train"],
                self.progress,
            )
        self.settings = _apply(self.settings, curve.suggestions)
        with self.clock.stage("logging"):
            run_report.lr_range(self.run, curve, self.settings, html=self.html)
        return curve.suggestions

    def train(self) -> fit.Fitted:
        """Train the head, and then what is unfrozen; one that was given up ends here, logged."""
        settings = self.settings
        with self.clock.stage("fit"):
            fitted = self._fit("Training", settings.optimizer.lr, settings.trainer.epochs)
        if settings.finetune.epochs and not fitted.pruned:
            fitted = self._finetune(fitted)
        with self.clock.stage("logging"):
            run_report.training(self.run, fitted, html=self.html)
        if fitted.pruned:
            self.conclude(fitted, None)
            run_report.totals(self.run, self.clock.seconds, self.clock.total())
            raise Pruned(f"after epoch {len(fitted.history['lr'])}")
        return fitted

    def _finetune(self, fitted: fit.Fitted) -> fit.Fitted:
        """Go on with the end of the backbone unfrozen; keep the better stage."""
        settings, manifest, first = self.settings, self.manifest, self.stage
        first.feeds.clear()  # both stages' features would be twice features.ram_mb
        with self.clock.stage("features"):
            self.stage = build.second_stage(
                settings, manifest, self.weights, self.memo, first.head, self.progress
            )
        choice, ran = settings.finetune, len(fitted.history["lr"])
        with self.clock.stage("fit"):
            fitted = self._fit("Fine-tuning", choice.lr, choice.epochs, after=fitted)
        if fitted.best_epoch <= ran and not fitted.pruned:
            # scored and saved as it was validated, without the cut
            with self.clock.stage("features"):
                feeds = build.feeds(settings, manifest, first.extractor, self.progress)
            self.stage = replace(first, feeds=feeds)
        return fitted

    def _fit(
        self, title: str, lr: float, epochs: int, *, after: fit.Fitted | None = None
    ) -> fit.Fitted:
        trainer, schedule, feeds = self.settings.trainer, self.settings.schedule, self.stage.feeds
        rate = build.scheduled(self.settings, feeds["train"].photos, lr=lr, epochs=epochs)
        plateau = fit.Plateau(schedule.factor, schedule.patience, schedule.final_lr)
        with self.progress.track(title, epochs) as advance:

            def on_epoch(epoch: int, metrics: dict[str, float]) -> bool:
                run_report.epoch(self.run, epoch, metrics)
                said = f"val loss {metrics['val/loss']:.4f} acc {metrics['val/accuracy']:.4f}"
                advance(1, said)
                return self.watcher.on_epoch(epoch, metrics)

            return fit.fit(
                build.steps(self.settings, self.manifest, self.stage.trained, rate),
                feeds["train"],
                feeds["val"],
                epochs=epochs,
                rng=np.random.default_rng([self.settings.seed, 2 if after else 0]),
                monitor=trainer.monitor,
                patience=trainer.patience,
                plateau=plateau if schedule.name == "plateau" else None,
                on_epoch=on_epoch,
                after=after,
            )

    def conclude(self, fitted: fit.Fitted, scores: Scores | None) -> None:
        """Describe the result in a line."""
        with self.clock.stage("logging"):
            run_report.conclude(
                self.run, self.settings, self.manifest, self.provenance, fitted, scores
            )

    def evaluate(self) -> Scores:
        """Score the test photos."""
        with self.clock.stage("evaluate"):
            probabilities = steps.predict(self.stage.trained, self.stage.feeds["test"])
            photos = self.manifest.of("test")
            labels = np.array([photo.label for photo in photos])
            scores = score(probabilities, labels)
        with self.clock.stage("logging"):
            run_report.evaluation(
                self.run, photos, self.manifest.classes, probabilities, labels, scores
            )
        return scores

    def save(self) -> None:
        """Save the end-to-end model, and log it if that is wanted."""
        stage, source = self.stage, self.stage.extractor
        wanted = self.settings.tracking.log_model
        log_it = wanted == "always" or (wanted == "auto" and self.provenance.kind == "run")
        with (
            self.clock.stage("model"),
            end_to_end.stitched(
                source.layers,
                source.prefix,
                stage.head,
                features_dtype=source.dtype,
                suffix=stage.suffix,
            ) as whole,
        ):
            run_report.checkpoint(self.run, whole, self.manifest.classes, log_model=log_it)


def _apply(settings: Settings, suggestions: dict[str, float]) -> Settings:
    """Take the suggested rate, if one is asked for and there is one."""
    rate = suggestions.get(settings.lr_range.apply or "", math.nan)
    if math.isnan(rate):
        return settings
    return replace(settings, optimizer=replace(settings.optimizer, lr=rate))
