"""A run as a trial of a sweep: what it tells the sweep, and what ties the two together."""

from __future__ import annotations

import json
import math
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from catdog.core.provenance import Provenance
from catdog.errors import ConfigError
from catdog.progress import Advance, Progress, Watcher
from catdog.settings import Objective
from catdog.tracking import names

if TYPE_CHECKING:
    from optuna_workers import SweepTrial

    from catdog.tracking import Tracker

EVERY_SECONDS = 0.5
"""A status crosses a pipe: more often than the table is drawn would be a waste."""


def tags(trial: SweepTrial) -> dict[str, str]:
    """Return the tags by which a trial's run is found again."""
    return names.child_tags(trial.shared, trial.study_name, trial.number)


def label(trial: SweepTrial) -> str:
    """Return how the run's name starts."""
    return f"trial {trial.number}:"


@contextmanager
def recorded(trial: SweepTrial, tracker: Tracker, provenance: Provenance) -> Iterator[None]:
    """Give an error that comes before the run a run to be seen in."""
    try:
        yield
    except Exception:
        run = tracker.start(f"{provenance.label} not started", names.run_tags(provenance))
        link(trial, run.run_id, tracker.shown_uri)
        with run.folder("error") as place:
            (place / "traceback.txt").write_text(traceback.format_exc())
        run.end("FAILED")
        run.tags({names.STATE: "FAIL"})
        raise


def link(trial: SweepTrial, run_id: str, uri: str) -> None:
    """Make trial, Hydra folder and MLflow run name each other."""
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
    """Progress as a few words in the sweep's table."""

    def __init__(self, trial: SweepTrial) -> None:
        self._trial, self._said = trial, 0.0

    @contextmanager
    def track(self, stage: str, total: int) -> Iterator[Advance]:
        """Say the stage, how far it is, and what was last said of it."""
        done, last = 0, ""
        self.note(stage)

        def advance(count: int = 1, text: str = "") -> None:
            nonlocal done, last
            done, last = done + count, text or last
            if time.monotonic() - self._said >= EVERY_SECONDS:
                self.note(f"{stage} {done}/{total} {last}".rstrip())

        yield advance

    def note(self, message: str) -> None:
        """Say a line at once."""
        self._said = time.monotonic()
        self._trial.status(message)


class Reporter(Watcher):
    """Reports epochs to Optuna, and ties trial, Hydra folder and MLflow run together.

    Args:
        trial: The sweep's.
        objective: What the sweep is after.
    """

    def __init__(self, trial: SweepTrial, objective: Objective) -> None:
        self._trial, self._objective = trial, objective

    def on_start(self, run_id: str, uri: str) -> None:
        """Tell the trial of its run, and the folder of both."""
        link(self._trial, run_id, uri)

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Report the objective; steps count epochs done, so that Hyperband's resource is right."""
        self._trial.report(metrics[self._objective.metric], epoch)
        return self._trial.should_prune()

    def on_objective(self, value: float) -> None:
        """Refuse a result that cannot be compared."""
        if not math.isfinite(value):
            raise ConfigError(
                "objective.metric", self._objective.metric,
                f"it is {value} at the best epoch: the training diverged",
                "optimizer.lr=<a smaller one>",
            )  # fmt: skip

    def end_tags(self, state: str) -> dict[str, str]:
        """Name Optuna's state of the trial."""
        return {names.STATE: state}
