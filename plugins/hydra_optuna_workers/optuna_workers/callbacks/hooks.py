"""The hooks of a sweep, and how they are called."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optuna_workers.callbacks.info import StudyInfo, TrialInfo
from optuna_workers.storage import disks
from optuna_workers.workers.current_trial import Postponed

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


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
    """Several callbacks as one. An error of a trial's hook is logged and costs no trial.

    ``Postponed`` passes: what the callback needs was away for too long, and the sweep ends.
    """

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
            except Postponed:
                raise
            except Exception as error:
                name = type(callback).__name__
                if told := disks.trouble(error, {"TMPDIR": disks.temporary()}):
                    log.error("%s.%s failed: %s", name, hook, told)
                else:
                    log.exception("%s.%s failed", name, hook)
