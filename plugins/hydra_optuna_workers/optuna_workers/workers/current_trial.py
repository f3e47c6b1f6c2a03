"""What a task may ask of the trial it runs in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Ask = Callable[..., Any]
"""``ask(name, *arguments)``: how a trial reaches Optuna, over a pipe or directly."""


class Postponed(Exception):
    """What a task raises where not it has failed but something that it needs, such as a server.

    Its slot is given back, at no cost of an attempt, and runs again a little later. The sweep
    ends where that has gone on for ``OUTAGE_SECONDS`` (an environment variable; 600 s).

    Args:
        reason: One line: what is away.
        waited: Seconds that the task has already waited for it.

    Example:
        >>> raise Postponed("the license server does not answer")
        Traceback (most recent call last):
        optuna_workers.workers.current_trial.Postponed: the license server does not answer
    """

    def __init__(self, reason: str, waited: float = 0.0) -> None:
        super().__init__(reason)
        self.waited = waited


@dataclass(frozen=True)
class SweepTrial:
    """The trial that runs in this process; `current_trial()` returns it.

    Attributes:
        number: Optuna's number of the trial, also ``hydra.job.num``.
        study_name: Optuna's name of the study.
        params: The swept values.
        shared: What the callbacks' ``on_study_start`` returned.
        directory: The trial's Hydra directory.
    """

    number: int
    study_name: str
    params: Mapping[str, Any]
    shared: Mapping[str, str]
    directory: Path
    _ask: Ask = field(repr=False)

    def report(self, value: float, step: int) -> None:
        """Tell the pruner of an intermediate value; with several directions it is not used.

        Args:
            value: The objective so far.
            step: Counts from 0, such as the epoch.
        """
        self._ask("report", float(value), int(step))

    def should_prune(self) -> bool:
        """Return whether the pruner gives this trial up; then raise ``optuna.TrialPruned``."""
        return bool(self._ask("should_prune"))

    def status(self, text: str) -> None:
        """Say in a few words what the trial is doing; the live table shows it."""
        self._ask("status", text)

    def say(self, text: str) -> None:
        """Say a line on the screen of the command that runs the sweep."""
        self._ask("say", text)

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep a JSON value with the trial in Optuna."""
        self._ask("set_user_attr", key, value)


_current: SweepTrial | None = None


def current_trial() -> SweepTrial | None:
    """Return the trial that this process runs, or None outside of a sweep."""
    return _current


def set_current(trial: SweepTrial | None) -> None:
    """Make a trial the current one; for the plugin's own use."""
    global _current
    _current = trial
