"""What a callback is given: a study and a trial, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna
    from omegaconf import DictConfig


@dataclass(frozen=True)
class TrialInfo:
    """One trial, as far as it has come.

    Attributes:
        number: Optuna's number.
        slot: Which of the study's ``n_trials`` slots it fills, from 0.
        attempt: 0, or how often the slot's worker had died before.
        params: The swept values.
        overrides: All task overrides of its job, as on the command line.
        directory: Its Hydra directory.
        state: ``COMPLETE``, ``PRUNED``, ``FAIL``, or None while it runs; ``POSTPONED`` where what
            it needs was away: another trial will fill its slot.
        values: One per direction, if there are any.
        error: Traceback or reason of a failure.
        seconds: How long it ran.
        duplicate_of: The trial with the same point whose values were used again.
    """

    number: int
    slot: int
    attempt: int
    params: Mapping[str, Any]
    overrides: tuple[str, ...]
    directory: Path
    state: str | None = None
    values: list[float] | None = None
    error: str = ""
    seconds: float = 0.0
    duplicate_of: int | None = None


@dataclass(frozen=True)
class StudyInfo:
    """A study, the same on every machine that works on it.

    Attributes:
        name: Optuna's name of it.
        identity: Tells it from an earlier study of the same name.
        storage: Its database URL.
        directory: ``hydra.sweep.dir``, absolute.
        directions: ``minimize`` or ``maximize``, one per objective.
        n_trials: Number of slots.
        parameters: The swept space as JSON values, by name.
        space: The same in Hydra's grammar.
        overrides: The task overrides that are not swept.
        config: Composed with the first point, ``hydra`` included.
        shared: What ``on_study_start`` returned, merged over all callbacks.
        finished: Whether all slots have ended.
        stopped: Why no further trial was started although slots are left, or empty.
    """

    name: str
    identity: str
    storage: str
    directory: Path
    directions: tuple[str, ...]
    n_trials: int
    parameters: Mapping[str, Any]
    space: Mapping[str, str]
    overrides: tuple[str, ...]
    config: DictConfig = field(repr=False)
    shared: dict[str, str] = field(default_factory=dict)
    finished: bool = False
    stopped: str = ""
    _load: Callable[[], Any] = field(default=lambda: None, repr=False)
    _trials: Callable[[], list[TrialInfo]] = field(default=list, repr=False)

    def load(self) -> optuna.Study:
        """Return Optuna's study."""
        return self._load()

    def trials(self) -> list[TrialInfo]:
        """Return the trial that ended each finished slot, by number."""
        return self._trials()
