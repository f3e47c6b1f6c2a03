"""What the display shows of a sweep: what runs, what has ended, the best so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna_workers.storage.slots import ENDED


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
