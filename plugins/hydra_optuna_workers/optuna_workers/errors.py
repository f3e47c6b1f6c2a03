"""Errors that a person can mend."""

from __future__ import annotations

from typing import Any

from hydra.errors import CompactHydraException

from optuna_workers.masking import without_password
from optuna_workers.shown import shown
from optuna_workers.workers.current_trial import Postponed


class SweepError(CompactHydraException):
    """A sweep was asked for that cannot run; Hydra shows the message without a traceback.

    Args:
        key: Config key or override that is wrong.
        found: Its value.
        reason: What is wrong with it.
        fix: What to write instead.

    Example:
        >>> print(SweepError("hydra.sweeper.n_jobs", 0, "must be 1 or more", "n_jobs=1"))
        hydra.sweeper.n_jobs=0: must be 1 or more; try n_jobs=1
    """

    def __init__(self, key: str, found: Any, reason: str, fix: str) -> None:
        # each by itself: where a password ends is not clear in a line with two addresses
        value, why, how = (shown(without_password(str(part))) for part in (found, reason, fix))
        super().__init__(f"{key}={value}: {why}; try {how}")


def wrong_key(key: str, found: Any, reason: str, fix: str) -> SweepError:
    """Return the error of a key below ``hydra.sweeper``."""
    return SweepError(f"hydra.sweeper.{key}", found, reason, fix)


class StorageAway(CompactHydraException, Postponed):
    """The study's database is gone, or did not answer for too long; nothing was lost by it.

    Args:
        reason: What was seen of it.
        waited: Seconds that were waited for it.
    """

    def __init__(self, reason: str, waited: float = 0.0) -> None:
        Postponed.__init__(self, f"{reason}; the same command goes on later", waited)


class SweepPostponed(CompactHydraException):
    """A sweep ended because what its trials need was away for too long."""
