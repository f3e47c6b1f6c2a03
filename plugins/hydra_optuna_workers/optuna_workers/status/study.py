"""A study and its slots at one moment, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from optuna_workers.display.snapshot import Finished
from optuna_workers.storage.slots import ENDED, RUNNING


@dataclass(frozen=True)
class SlotTime:
    """When a slot's last trial ran, by the database's clock, in seconds since 1970."""

    started: float
    ended: float
    state: str


@dataclass(frozen=True)
class SlotStatus:
    """A slot that a worker has claimed.

    Attributes:
        slot: From 0.
        state: ``RUNNING``, ``WAITING``, ``COMPLETE``, ``PRUNED`` or ``FAIL``.
        attempt: How often its trial was lost with its process.
        trial: Optuna's number of the latest trial, or None before there is one.
        host: The machine of its owner.
        pid: The owner's process.
        started: Seconds since 1970, by the database's clock, or None.
        alive: Whether the owner's process lives; None where it runs on another host.
        lease: Seconds until an owner on another host is taken for dead.
        status: What the task says it does.
        error: Why it failed, or empty.
    """

    slot: int
    state: str
    attempt: int
    trial: int | None
    host: str
    pid: int
    started: float | None
    alive: bool | None
    lease: float
    status: str = ""
    error: str = ""

    @property
    def is_running(self) -> bool:
        """Return whether somebody runs it, as far as can be known from here."""
        known = self.lease > 0 if self.alive is None else self.alive
        return self.state == RUNNING and known

    @property
    def is_lost(self) -> bool:
        """Return whether its owner is dead: the next worker runs it again."""
        return self.state == RUNNING and not self.is_running


@dataclass(frozen=True)
class StudyStatus:
    """A study at one moment.

    Attributes:
        name: Optuna's name of it.
        storage: Its database, as the reader named it, the password masked.
        directions: ``minimize`` or ``maximize``, one per objective.
        n_trials: Slots that the latest command asked for; None if an earlier version began it.
        slots: Those that were claimed, by number.
        best: The best trial, or the Pareto front.
        commands: How many commands work on it.
        stopped: Why it ended early, or empty.
        now: The database's clock, in seconds since 1970.
    """

    name: str
    storage: str
    directions: tuple[str, ...]
    n_trials: int | None
    slots: tuple[SlotStatus, ...] = field(repr=False)
    best: tuple[Finished, ...] = ()
    commands: int = 0
    stopped: str = ""
    now: float = 0.0

    @property
    def counts(self) -> dict[str, int]:
        """Return how many slots are ``COMPLETE``, ``PRUNED``, ``FAIL`` and ``RUNNING``."""
        counted = {state: sum(s.state == state for s in self.slots) for state in ENDED}
        return {**counted, RUNNING: sum(slot.is_running for slot in self.slots)}

    @property
    def done(self) -> int:
        """Return how many slots have ended."""
        return sum(slot.state in ENDED for slot in self.slots)

    @property
    def left(self) -> int | None:
        """Return how many slots nobody runs or has run; None if that is not known."""
        if self.n_trials is None:
            return None
        return max(0, self.n_trials - self.done - self.counts[RUNNING])
