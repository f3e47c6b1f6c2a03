"""What others may hear of a sweep."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


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
        state: ``COMPLETE``, ``PRUNED``, ``FAIL``, or None while it runs.
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


class SweepCallback:
    """Base class of what is listed under ``hydra.sweeper.callbacks``, by ``_target_``.

    The parent makes one instance, and so does every process that a launcher starts loops in;
    the hooks of trials may be called from several threads.
    """

    def on_study_start(self, study: StudyInfo) -> Mapping[str, str] | None:
        """Run once per study, on whichever machine comes first; the others wait for it.

        Returns:
            What to store as ``study.shared``. ``enqueue`` may hold a JSON list of points that
            are tried first.
        """
        return None

    def on_session_start(self, study: StudyInfo) -> None:
        """Run in every command that works on the study, before its first trial."""

    def on_trial_start(self, study: StudyInfo, trial: TrialInfo) -> None:
        """Run when a trial has its values and is about to start."""

    def on_trial_end(self, study: StudyInfo, trial: TrialInfo) -> None:
        """Run when Optuna knows how a trial ended, one whose worker died included."""

    def on_study_end(self, study: StudyInfo) -> None:
        """Run when a command stops, in one of them only if several stop at the same point."""


class Callbacks:
    """Several callbacks as one. An error of a trial's hook is logged and costs no trial."""

    def __init__(self, callbacks: list[SweepCallback]) -> None:
        self._all = callbacks

    @classmethod
    def build(cls, nodes: DictConfig | None) -> Callbacks:
        """Make each callback that ``hydra.sweeper.callbacks`` names."""
        from hydra.utils import instantiate

        return cls([instantiate(node) for node in (nodes or {}).values() if node is not None])

    def study_start(self, study: StudyInfo) -> dict[str, str]:
        """Call every ``on_study_start`` and merge what they return."""
        shared: dict[str, str] = {}
        for callback in self._all:
            shared.update(callback.on_study_start(study) or {})
        return shared

    def session_start(self, study: StudyInfo) -> None:
        """Call every ``on_session_start``."""
        for callback in self._all:
            callback.on_session_start(study)

    def trial_start(self, study: StudyInfo, trial: TrialInfo) -> None:
        """Call every ``on_trial_start``."""
        self._safely("on_trial_start", study, trial)

    def trial_end(self, study: StudyInfo, trial: TrialInfo) -> None:
        """Call every ``on_trial_end``."""
        self._safely("on_trial_end", study, trial)

    def study_end(self, study: StudyInfo) -> None:
        """Call every ``on_study_end``."""
        self._safely("on_study_end", study)

    def _safely(self, hook: str, *arguments: Any) -> None:
        for callback in self._all:
            try:
                getattr(callback, hook)(*arguments)
            except Exception:
                log.exception("%s.%s failed", type(callback).__name__, hook)
