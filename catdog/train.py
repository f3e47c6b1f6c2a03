"""python -m catdog.train: one run, or a sweep with -m."""

from __future__ import annotations

import contextlib
import gc
import importlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from optuna_workers import current_trial
from rich.table import Table
from rich.text import Text

from catdog.cli import console, hydra_app, overrides, typed
from catdog.core import paths
from catdog.core.memo import Memo
from catdog.errors import FullDiskError
from catdog.mlflow_store import answers
from catdog.settings import Tracking

if TYPE_CHECKING:
    from optuna_workers import SweepTrial

    from catdog.core.provenance import Provenance
    from catdog.experiment import Outcome
    from catdog.tracking import Tracker

STARTED = time.perf_counter()
"""Start of a single run, before TensorFlow is imported."""

MEMO = Memo()
"""What the trials of a sweep share in this process."""


def main() -> None:
    """Run the command."""
    with hydra_app.one_message():
        sys.argv[1:] = with_best(sys.argv[1:])
    if {"-m", "--multirun"} & set(sys.argv[1:]):
        console.Console().note("Preparing the sweep ...")
    hydra_app.start(task)


def with_best(words: Sequence[str]) -> list[str]:
    """Replace ``+best=<study>`` by the overrides of the study's best trial.

    Other overrides of the command line take precedence; ``tracking.uri`` and
    ``tracking.experiment`` also say where the study is looked for.

    Args:
        words: Arguments of the command line.

    Raises:
        ConfigError: there is no such study, or it has no single best trial.

    Example:
        >>> with_best(["optimizer.lr=0.01"])
        ['optimizer.lr=0.01']
    """
    named = overrides.named(words)
    if not any(word.startswith("+best=") for word in words):
        return list(words)
    console.Console().note("Looking for the study in the MLflow store ...")
    from catdog import tracking
    from catdog.study import winner

    uri, experiment = named.get("tracking.uri"), named.get("tracking.experiment")
    store = tracking.open_store(uri, experiment or Tracking().experiment)
    best = winner.overrides_of(named["best"], store, named)
    index = next(k for k, word in enumerate(words) if word.startswith("+best="))
    after = (word for word in words[index:] if not word.startswith("+best="))
    # in the place of +best: Hydra takes no overrides on either side of its own options
    return [*words[:index], *best, *after]


def task(cfg: DictConfig) -> float:
    """Run the composed configuration, as a single run or a trial, and return the objective.

    In a sweep errors pass through: the sweeper shows them, and the trial's run has the traceback.
    """
    from hydra.core.hydra_config import HydraConfig

    paths.remember(HydraConfig.get().runtime.cwd)  # with hydra.job.chdir this is another folder
    trial = current_trial()
    if not trial:
        return _single(cfg)
    with _postponed_by_disks(cfg):
        return _try(cfg, trial)


@contextlib.contextmanager
def _postponed_by_disks(cfg: DictConfig) -> Iterator[None]:
    """Give a trial's slot back if a disk is full or read-only: the others would fail by it too."""
    from optuna_workers import Postponed
    from optuna_workers.storage import disks

    try:
        yield
    except FullDiskError as error:
        raise Postponed(str(error), math.inf) from None
    except Exception as error:
        if isinstance(error, Postponed) or not disks.is_everyones(error):
            raise
        raise Postponed(str(hydra_app.disk_trouble(error, cfg)), math.inf) from error


@hydra_app.with_one_message
def _single(cfg: DictConfig) -> float:
    return run(cfg).objective


def run(cfg: DictConfig, tracker: Tracker | None = None, **facts: Any) -> Outcome:
    """Run the composed configuration and print the result.

    Args:
        cfg: The configuration that Hydra composed.
        tracker: MLflow store and experiment; None takes those of the configuration.
        **facts: Further arguments of the run's ``Provenance``.
    """
    settings, provenance = hydra_app.settings_of(cfg), _provenance(cfg, **facts)
    from catdog.cli import inputs

    progress = console.Console()
    answers.check(paths.store(settings.tracking.uri, paths.root()))  # before minutes with photos
    manifest, weights = inputs.photos_and_weights(settings, progress)
    if tracker is None:
        progress.note("Opening the MLflow store ...")
        tracker = _tracker(settings.tracking.uri, settings.tracking.experiment)
    experiment = _experiment(progress.note)
    clock = experiment.Clock(started=STARTED)
    outcome: Outcome = experiment.run(
        settings, manifest, weights, tracker, provenance=provenance, progress=progress, clock=clock
    )
    print_summary(outcome, tracker.how_to_browse(outcome.run_id), manifest.counts)
    return outcome


def _provenance(cfg: DictConfig, **facts: Any) -> Provenance:
    from hydra.core.hydra_config import HydraConfig

    from catdog.core.provenance import Provenance

    job = HydraConfig.get()
    return Provenance(
        overrides=tuple(map(typed.absolute, overrides.standing_alone(cfg, job))),
        resolved=overrides.resolved(cfg),
        hidden=overrides.hidden(cfg),
        hydra_dir=job.runtime.output_dir,
        **facts,
    )


def print_summary(outcome: Outcome, browse: str, counts: Mapping[str, int]) -> None:
    """Print the table that ends a run, and below it where to see the run.

    Args:
        outcome: The run's result.
        browse: How to see more of it.
        counts: Number of photos by split, which is said where it is small.
    """
    from catdog.evaluation.metrics import of_few, shown

    fitted, test, seconds = outcome.fitted, outcome.test, outcome.seconds
    table = Table(title=f"run {outcome.run_id[:8]}", show_header=False, title_justify="left")
    ran = len(fitted.history["lr"])
    early = ", stopped early" if fitted.stopped_early else ""
    table.add_row("best epoch", f"{fitted.best_epoch} of {ran}{early}")
    table.add_row(
        "validation",
        f"loss {fitted.at_best('val/loss'):.4f}  accuracy {fitted.at_best('val/accuracy'):.4f}"
        f" {of_few(counts['val'])}".rstrip(),
    )
    table.add_row(
        "test",
        f"loss {shown(test.loss)}  accuracy {shown(test.accuracy)}  "
        f"AUC {shown(test.auc)}  ECE {shown(test.ece)} {of_few(counts['test'])}".rstrip(),
    )
    if outcome.suggestions:
        found = "  ".join(f"{name} {rate:.1e}" for name, rate in outcome.suggestions.items())
        table.add_row("LR range test", found)
    elif "lr_range" in seconds:
        table.add_row("LR range test", "no suggestion")
    table.add_row("trained weights", f"{outcome.parameters:,}")
    spent = sorted((s for s in seconds.items() if s[0] != "total"), key=lambda s: -s[1])
    parts = "  ".join(f"{name} {value:.1f}" for name, value in spent)
    table.add_row("seconds", f"{seconds['total']:.1f}: {parts}")
    out = console.out()
    out.print(table)
    # whole: a terminal wraps a long line itself, and what rich wraps cannot be pasted
    out.print(Text(browse), soft_wrap=True)


def _try(cfg: DictConfig, trial: SweepTrial) -> float:
    """Run a trial; what the next one needs too is made once in this process."""
    from catdog.cli import inputs
    from catdog.study import trial_run

    started = time.perf_counter()
    provenance = _provenance(
        cfg, kind="trial", label=trial_run.label(trial), tags=trial_run.tags(trial)
    )
    store = (cfg.tracking.uri, cfg.tracking.experiment)
    tracker = MEMO.get("tracker", store, lambda: _tracker(*store, patient=True))
    status = trial_run.Status(trial)
    with trial_run.recorded(trial, tracker, provenance):
        settings = hydra_app.settings_of(cfg)
        manifest, weights = inputs.photos_and_weights(settings, status, MEMO)
    experiment = MEMO.get("libraries", (), _settled)
    try:
        return experiment.run(
            settings, manifest, weights, tracker, provenance=provenance, progress=status,
            watcher=trial_run.Reporter(trial, settings.objective),
            clock=experiment.Clock(started=started), memo=MEMO,
        ).objective  # fmt: skip
    except experiment.Pruned as ended:
        from optuna import TrialPruned

        raise TrialPruned(str(ended)) from None


def preload(cfg: DictConfig) -> None:
    """Load TensorFlow for the trials while another process creates the study's run."""
    from catdog.core import runtime

    runtime.configure(cfg.threads)
    MEMO.get("libraries", (), _settled)


def _tracker(uri: str | None, experiment: str, *, patient: bool = False) -> Tracker:
    from catdog import tracking

    root = paths.root()
    return tracking.Tracker(uri=uri, experiment=experiment, root=root, patient=patient)


def _experiment(notify: Callable[[str], None] = lambda _: None) -> ModuleType:
    from catdog.core import runtime

    runtime.load_tensorflow(notify)
    from catdog import experiment

    return experiment


def _settled() -> ModuleType:
    """Load TensorFlow for many trials, without garbage collection of its million objects."""
    experiment = _experiment()
    gc.collect()
    gc.freeze()
    return experiment


if __name__ == "__main__":
    # imported by name, or a sweep would have to pickle this module for its trials
    importlib.import_module("catdog.train").main()
