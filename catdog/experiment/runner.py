"""Run one experiment: features, LR range test, training and evaluation, all logged to MLflow.

Works without Hydra:

    settings = Settings(data=Data(name="folder", path="photos"))
    tracker = tracking.Tracker(uri=None, experiment="catdog", root=Path.cwd())
    outcome = experiment.run(settings, manifest, weights, tracker)
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping

from catdog.core import interrupts, paths
from catdog.core.memo import Memo
from catdog.core.provenance import Provenance, commit
from catdog.data.manifest import Manifest
from catdog.experiment import build, prefix, run_report
from catdog.experiment.description import title
from catdog.experiment.outcome import Clock, Outcome, Pruned
from catdog.experiment.stages import Stages
from catdog.mlflow_store.outage import StoreAway
from catdog.models.pretrained import Weights
from catdog.progress import Progress, Watcher
from catdog.settings import Settings
from catdog.tracking import Tracker, names
from catdog.tracking.run import Run


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
    """Run one experiment and log it to MLflow.

    Args:
        settings: All settings.
        manifest: The photos, from ``data.prepare``.
        weights: The backbone's weights, from ``pretrained.resolve``.
        tracker: The MLflow store.
        provenance: The command and the sweep that started the run; None for neither.
        progress: Receives the progress of extraction, LR range test and training; None shows none.
        watcher: Receives the run's start, epochs and result, and may prune the training; None for
            nobody.
        clock: Started earlier to include start-up in the total; None starts now.
        memo: What trials of one process share; None shares nothing.

    Returns:
        Objective, history, test scores and durations.

    Raises:
        ConfigError: features do not fit on the disk or in ``features.dtype``.
        DataError: a photo was removed or changed during the run.
        Pruned: the watcher ended the training.
    """
    provenance, progress = provenance or Provenance(), progress or Progress()
    watcher, clock, memo = watcher or Watcher(), clock or Clock(), memo or Memo()
    clock.seconds["startup"] = clock.total()
    state = memo.get("commit", (), lambda: commit(paths.root()))
    name, tags = title(settings, provenance.label), names.run_tags(provenance, state)
    with _tracked(tracker, name, tags, watcher) as run:
        with clock.stage("logging"):
            run_report.describe(run, settings, manifest, weights, provenance, state)
        progress.note(f"Building {settings.backbone.name} ...")
        with clock.stage("build"):
            extractor = prefix.extractor(settings, weights, memo)
        with clock.stage("features"):
            feeds = build.feeds(settings, manifest, extractor, progress)
        with clock.stage("build"):
            stage = build.first_stage(settings, manifest, extractor, feeds)
        stages = Stages(
            run, settings, manifest, weights, stage, provenance, progress, watcher, clock, memo
        )
        suggestions = stages.test_learning_rates()
        fitted = stages.train()
        scores = stages.evaluate()
        stages.conclude(fitted, scores)
        stages.save()
        objective = fitted.at_best(settings.objective.metric)
        run_report.totals(run, clock.seconds, clock.total())
        watcher.on_objective(objective)
    seconds = {**clock.seconds, "total": clock.total()}
    trained = sum(math.prod(v.shape) for v in stages.stage.trained.trainable_variables)
    return Outcome(objective, run.run_id, fitted, scores, suggestions, seconds, trained)


@contextlib.contextmanager
def _tracked(
    tracker: Tracker, name: str, tags: Mapping[str, str], watcher: Watcher
) -> Iterator[Run]:
    """Yield a new MLflow run, and end it whatever happens."""
    run, pruned, finished = None, None, False
    try:
        with interrupts.deferred():  # a run that is created is known here, and ended
            run = tracker.start(name, tags)
        watcher.on_start(run.run_id, tracker.shown_uri)
        try:
            yield run
        except Pruned as error:
            pruned = error
        with interrupts.deferred():
            run.end("FINISHED")
            finished = True
            run.tags(watcher.end_tags("PRUNED" if pruned else "COMPLETE"))
    except BaseException as error:
        if run is not None:
            with interrupts.deferred():
                if not finished:  # Ctrl-C in the last moment takes nothing back
                    run.fail(error)
                with contextlib.suppress(StoreAway):
                    run.tags(watcher.end_tags("FAIL"))  # of a trial: its sweep does not have it
        raise
    if pruned:
        raise pruned
