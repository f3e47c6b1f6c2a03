"""What the display shows of a sweep: what runs, what has ended, the best so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna_workers.callbacks.study_info import trial_of
from optuna_workers.storage.slots import ENDED, read_facts


@dataclass(frozen=True)
class Running:
    """A trial that runs."""

    number: int
    worker: str
    params: Mapping[str, Any]
    seconds: float
    status: str


@dataclass(frozen=True)
class Finished:
    """A trial that has ended."""

    number: int
    state: str
    values: list[float] | None
    params: Mapping[str, Any]
    seconds: float
    message: str = ""
    directory: str = ""
    duplicate_of: int | None = None


@dataclass(frozen=True)
class Snapshot:
    """A study at one moment.

    Attributes:
        total: Slots.
        counts: Slots by state.
        running: Trials that run, on every machine.
        best: The best trial, or the Pareto front.
        seconds_left: An estimate, or None before the first trial has ended.
    """

    total: int
    counts: Mapping[str, int]
    running: Sequence[Running] = ()
    best: Sequence[Finished] = ()
    seconds_left: float | None = None

    @property
    def done(self) -> int:
        """Return how many slots have ended."""
        return sum(self.counts.get(state, 0) for state in ENDED)


def running_of(row: Any, now: float) -> Running:
    """Return the trial that runs in a slot, by the slot's row and the database's clock."""
    worker = row.owner.rpartition("/")[2]
    seconds = now - (row.started or now)
    return Running(row.trial, worker, read_facts(row)["params"], seconds, row.status or "")


def finished_of(row: Any) -> Finished:
    """Return the trial that ended a slot, by the slot's row."""
    trial = trial_of(row)
    return Finished(
        number=trial.number,
        state=row.state,
        values=trial.values,
        params=trial.params,
        seconds=trial.seconds,
        message=trial.error,
        directory=str(trial.directory),
        duplicate_of=trial.duplicate_of,
    )


def best_of(trials: Iterable[Finished], directions: Sequence[str]) -> list[Finished]:
    """Return the best trial, or the Pareto front of several directions.

    Example:
        >>> one, two = (Finished(k, "COMPLETE", [v], {}, 1.0) for k, v in ((0, 0.5), (1, 0.2)))
        >>> [trial.number for trial in best_of([one, two], ["minimize"])]
        [1]
    """
    done = [trial for trial in trials if trial.state == "COMPLETE" and trial.values]
    signs = [1 if way == "minimize" else -1 for way in directions]

    def cost(trial: Finished) -> list[float]:
        return [sign * value for sign, value in zip(signs, trial.values or (), strict=True)]

    if len(signs) == 1:
        return sorted(done, key=cost)[:1]
    return [a for a in done if not any(_dominates(cost(b), cost(a)) for b in done)]


def _dominates(a: list[float], b: list[float]) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))
