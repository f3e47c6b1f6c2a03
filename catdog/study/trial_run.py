"""What a run does as a trial of a sweep: it reports to the sweep, and each names the other."""

from __future__ import annotations

import json
import math
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from optuna_workers import Postponed

from catdog.core import interrupts
from catdog.core.paths import without_password
from catdog.core.provenance import Provenance
from catdog.errors import ConfigError
from catdog.progress import Advance, Progress, Watcher
from catdog.settings import Objective
from catdog.tracking import names

if TYPE_CHECKING:
    from optuna_workers import SweepTrial

    from catdog.tracking import Tracker

EVERY_SECONDS = 0.5
"""Least time between two updates of a trial's status, about that between two of the table."""


def tags(trial: SweepTrial) -> dict[str, str]:
    """Return the tags of a trial's run: its study, its number and its parent run."""
    return names.child_tags(trial.shared, trial.study_name, trial.number)


def label(trial: SweepTrial) -> str:
    """Return the name of a trial's run, such as ``t07 lr=0.003 dropout=0.2``."""
    return names.trial_name(trial.number, trial.params)


@contextmanager
def recorded(trial: SweepTrial, tracker: Tracker, provenance: Provenance) -> Iterator[None]:
    """Log a failed run if the block fails, for errors before a trial's own run is created.

    Args:
        trial: The trial.
        tracker: The MLflow store.
        provenance: Provenance of the trial's run.
    """
    try:
        yield
    except Postponed:  # it runs again
        raise
    except Exception:
        with interrupts.deferred():  # a run that is created is ended
            run = tracker.start(f"{provenance.label}: not started", names.run_tags(provenance))
            link(trial, run.run_id, tracker.shown_uri)
            with run.folder("error") as place:
                text = without_password(traceback.format_exc())
                (place / "traceback.txt").write_text(text)
            run.end("FAILED")
            run.tags({names.STATE: "FAIL"})
        raise


def link(trial: SweepTrial, run_id: str, uri: str) -> None:
    """Write the ids of trial, Hydra folder and MLflow run into trial and folder.

    Args:
        trial: The trial.
        run_id: MLflow's id of its run.
        uri: Address of the MLflow store, without a password.
    """
    trial.set_user_attr(names.RUN_ID, run_id)
    trial.set_user_attr(names.HYDRA_DIR, str(trial.directory))
    facts = {
        names.STUDY: trial.study_name,
        names.TRIAL: trial.number,
        names.RUN_ID: run_id,
        "mlflow.tracking_uri": uri,
    }
    trial.directory.mkdir(parents=True, exist_ok=True)
    (trial.directory / "trial.json").write_text(json.dumps(facts, indent=2) + "\n")


class Status(Progress):
    """Shows progress as a few words in the sweep's table."""

    def __init__(self, trial: SweepTrial) -> None:
        self._trial, self._updated = trial, 0.0

    @contextmanager
    def track(self, stage: str, total: int) -> Iterator[Advance]:
        """Show the stage, how many of its steps are done, and the last text."""
        done, last = 0, ""
        self.note(stage)

        def advance(count: int = 1, text: str = "") -> None:
            nonlocal done, last
            done, last = done + count, text or last
            if time.monotonic() - self._updated >= EVERY_SECONDS:
                self.note(f"{stage} {done}/{total} {last}".rstrip())

        yield advance

    def note(self, message: str) -> None:
        """Show a message at once."""
        self._updated = time.monotonic()
        self._trial.status(message)


class Reporter(Watcher):
    """Reports a run's epochs to Optuna, and links trial, Hydra folder and MLflow run.

    Args:
        trial: The trial.
        objective: The metric that is reported.
    """

    def __init__(self, trial: SweepTrial, objective: Objective) -> None:
        self._trial, self._objective = trial, objective

    def on_start(self, run_id: str, uri: str) -> None:
        """Link trial, Hydra folder and MLflow run."""
        link(self._trial, run_id, uri)

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Report the objective and return whether to prune.

        Optuna's step is the number of the epoch, from 1, as Hyperband expects of its resource.
        """
        self._trial.report(metrics[self._objective.metric], epoch)
        return self._trial.should_prune()

    def on_objective(self, value: float) -> None:
        """Refuse an objective that is not finite.

        Raises:
            ConfigError: it is NaN or infinite.
        """
        if not math.isfinite(value):
            raise ConfigError(
                "objective.metric", self._objective.metric,
                f"it is {value} at the best epoch: the training diverged",
                "optimizer.lr=<a smaller one>",
            )  # fmt: skip

    def end_tags(self, state: str) -> dict[str, str]:
        """Return the tag with Optuna's state of the trial."""
        return {names.STATE: state}
