"""The stages of a run, in the order in which ``runner`` calls them; each is timed and logged."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from catdog.core.memo import Memo
from catdog.core.provenance import Provenance
from catdog.data.manifest import Manifest
from catdog.evaluation.metrics import Scores, score
from catdog.experiment import build, rates, run_report
from catdog.experiment.outcome import Clock, Pruned
from catdog.models import end_to_end
from catdog.models.pretrained import Weights
from catdog.progress import Progress, Watcher
from catdog.settings import Settings
from catdog.tracking.run import Run
from catdog.training import fit, steps


@dataclass
class Stages:
    """A run in progress: its stages, and what they share.

    Attributes:
        run: The MLflow run.
        settings: All settings; the LR range test may change the learning rate.
        manifest: The photos.
        weights: The backbone's weights.
        stage: The model that is trained, and its feeds.
        provenance: The command and the sweep that started the run.
        progress: Receives the progress of stages.
        watcher: Receives epochs, and may prune the training.
        clock: Measures the stages.
        memo: What the trials of one process share.
    """

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
        # trials of a sweep do without the HTML pages of 4 MB each
        self.html = self.provenance.kind == "run"

    def test_learning_rates(self) -> dict[str, float]:
        """Run the LR range test if it is enabled, and use the suggestion of ``lr_range.apply``."""
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
        asked = self.settings.lr_range.apply
        self.settings = rates.suggested(self.settings, curve.suggestions)
        if asked:
            self.run.params({"optimizer.lr": self.settings.optimizer.lr})
        if curve.nothing:
            rate = self.settings.optimizer.lr
            self.progress.note(f"LR range test: {curve.nothing}")
            self.progress.note(f"It suggests no rate; the training takes optimizer.lr={rate:g}")
        with self.clock.stage("logging"):
            run_report.lr_range(self.run, curve, self.settings, html=self.html)
        return curve.suggestions

    def train(self) -> fit.Fitted:
        """Train the head, then fine-tune the unfrozen blocks if ``finetune.epochs`` is set.

        Raises:
            Pruned: the watcher ended the training; it is logged.
            ConfigError: the loss is not finite any more; the epochs are logged.
        """
        settings = self.settings
        with self.clock.stage("fit"):
            fitted = self._fit("Training", settings.optimizer.lr, settings.trainer.epochs)
        if settings.finetune.epochs and not fitted.ended:
            fitted = self._finetune(fitted)
        with self.clock.stage("logging"):
            run_report.training(self.run, fitted, html=self.html)
        if fitted.ended:
            self.conclude(fitted, None)
            run_report.totals(self.run, self.clock.seconds, self.clock.total())
        if fitted.diverged:
            raise rates.diverged(settings, fitted)
        if fitted.pruned:
            raise Pruned(f"after epoch {len(fitted.history['lr'])}")
        return fitted

    def _finetune(self, fitted: fit.Fitted) -> fit.Fitted:
        """Continue with the unfrozen end of the backbone; keep the better stage's model."""
        settings, manifest, first = self.settings, self.manifest, self.stage
        first.feeds.clear()  # both stages' feeds would need twice features.ram_mb
        with self.clock.stage("features"):
            self.stage = build.second_stage(
                settings, manifest, self.weights, self.memo, first.head, self.progress
            )
        choice, ran = settings.finetune, len(fitted.history["lr"])
        with self.clock.stage("fit"):
            fitted = self._fit("Fine-tuning", choice.lr, choice.epochs, after=fitted)
        if fitted.best_epoch <= ran and not fitted.ended:
            # the first stage's model is the best one: it is scored and saved without a cut
            with self.clock.stage("features"):
                feeds = build.feeds(settings, manifest, first.extractor, self.progress)
            self.stage = replace(first, feeds=feeds)
        return fitted

    def _fit(
        self, title: str, lr: float, epochs: int, *, after: fit.Fitted | None = None
    ) -> fit.Fitted:
        trainer, schedule, feeds = self.settings.trainer, self.settings.schedule, self.stage.feeds
        photos = feeds["train"].photos
        rate = build.learning_rate(self.settings, photos, lr=lr, epochs=epochs)
        if told := rates.long_average(trainer.ema, epochs * -(-photos // trainer.batch_size)):
            self.progress.note(told)
        plateau = fit.Plateau(schedule.factor, schedule.patience, schedule.final_lr)
        with self.progress.track(title, epochs) as advance:

            def on_epoch(epoch: int, metrics: dict[str, float]) -> bool:
                run_report.epoch(self.run, epoch, metrics)
                text = f"val loss {metrics['val/loss']:.4f} acc {metrics['val/accuracy']:.4f}"
                advance(1, text)
                return self.watcher.on_epoch(epoch, metrics)

            fitted = fit.fit(
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
        if fitted.diverged:  # the watcher does not hear of it: no pruner may answer first
            last = {name: values[-1] for name, values in fitted.history.items()}
            run_report.epoch(self.run, len(fitted.history["lr"]), last)
        return fitted

    def conclude(self, fitted: fit.Fitted, scores: Scores | None) -> None:
        """Write the result into the description of the run."""
        with self.clock.stage("logging"):
            run_report.conclude(
                self.run, self.settings, self.manifest, self.provenance, fitted, scores
            )

    def evaluate(self) -> Scores:
        """Predict and score the test photos."""
        with self.clock.stage("evaluate"):
            probabilities = steps.predict(self.stage.trained, self.stage.feeds["test"])
            photos = self.manifest.of("test")
            labels = np.array([photo.label for photo in photos])
            scores = score(probabilities, labels)
        self.progress.note("Logging pictures and the model ...")
        with self.clock.stage("logging"):
            run_report.evaluation(
                self.run, photos, self.manifest.classes, probabilities, labels, scores
            )
        return scores

    def save(self) -> None:
        """Save the end-to-end model, and log an MLflow model as ``tracking.log_model`` says."""
        stage, extractor = self.stage, self.stage.extractor
        wanted = self.settings.tracking.log_model
        log_it = wanted == "always" or (wanted == "auto" and self.provenance.kind == "run")
        with (
            self.clock.stage("model"),
            end_to_end.stitched(
                extractor.layers,
                extractor.prefix,
                stage.head,
                features_dtype=extractor.dtype,
                suffix=stage.suffix,
            ) as whole,
        ):
            run_report.checkpoint(self.run, whole, self.manifest.classes, log_model=log_it)
