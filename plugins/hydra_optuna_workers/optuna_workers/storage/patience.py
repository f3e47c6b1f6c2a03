"""Waits while a service that a sweep needs is away: bounded, and said once."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from optuna_workers.masking import without_password
from optuna_workers.workers.current_trial import current_trial

log = logging.getLogger(__name__)

VARIABLE = "OUTAGE_SECONDS"
"""Environment variable with the longest wait, in seconds; all services share it."""

LONGEST_WAIT = 600.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between tries: few enough that no time is lost once the service is back."""

SAID_AFTER = 1.0
"""Seconds after which an outage is worth a line."""

GONE = {
    "no such table": "it was deleted, or replaced by another, while it was in use",
    "readonly database": "it was deleted, moved or made read-only while it was in use",
    "unable to open database file": "it was deleted, or its folder was, or cannot be read",
    "disk i/o error": "its disk fails, or it was deleted while it was in use",
    "disk is full": "its disk is full",
    "not a database": "the file is no database any more",
    "malformed": "the file is damaged",
}
"""What SQLite says, in small letters, that no waiting mends, and what it means."""

R = TypeVar("R")


def longest_wait() -> float:
    """Return how many seconds an outage may last before a command gives up.

    Example:
        >>> longest_wait()
        600.0
    """
    return float(os.environ.get(VARIABLE) or LONGEST_WAIT)


@dataclass(frozen=True)
class Fault:
    """Why a service could not do what it was asked.

    Attributes:
        reason: In its own words, one line.
        passing: Whether it may be over by itself: a server that restarts, a lock.
    """

    reason: str
    passing: bool = True


class Patience:
    """The outages of one service, as this process sees them; its threads share them.

    Args:
        name: What a person knows the service by.
        error: Makes the exception that is raised when waiting is of no use (any more), from a
            message and the seconds waited.
    """

    def __init__(self, name: str, error: Callable[[str, float], Exception]) -> None:
        self.name, self._error = name, error
        self._lock = threading.Lock()
        self._since: float | None = None
        self._said = self._given_up = False
        self.back_at = float("-inf")

    def outlast(self, call: Callable[[], R], judge: Callable[[Exception], Fault | None]) -> R:
        """Return what a call gives, repeating it as long as the service is away.

        Args:
            call: What can be repeated without harm.
            judge: Tells an outage from the call's own error, for which it returns None.

        Raises:
            Exception: the call's own error; or what ``error`` makes, after ``longest_wait()``
                seconds or where waiting is of no use.
        """
        began, pause = time.monotonic(), FIRST_PAUSE
        while True:
            try:
                given = call()
            except Exception as error:
                fault = judge(error)
                if fault is None:
                    raise
            else:
                self._answered()
                return given
            waited = self._failed(began, fault)
            if self._given_up or not fault.passing or waited >= longest_wait():
                self._give_up(fault, waited)
            self._sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def give_up(self) -> None:
        """Try only once from now on, until the service answers again: others have waited."""
        with self._lock:
            self._given_up = True

    def was_away(self, seconds: float) -> bool:
        """Return whether the service is away, or was within the last so many seconds."""
        return self._since is not None or time.monotonic() - self.back_at < seconds

    def _failed(self, began: float, fault: Fault) -> float:
        """Note a failed try; return how long the service has been away."""
        with self._lock:
            now = time.monotonic()
            if self._since is None:
                self._since = began
            away, due = now - self._since, longest_wait()
            if fault.passing and away >= min(SAID_AFTER, due) and not self._said:
                self._said = True
                reason = without_password(fault.reason)
                say(
                    f"{self.name} does not answer ({reason}); waiting for it, at most "
                    f"{due:.0f} s ({VARIABLE})"
                )
            return away

    def _answered(self) -> None:
        if self._since is None:  # as nearly always: not worth a lock
            return
        with self._lock:
            if self._said and self._since is not None:
                say(f"{self.name} answers again, after {time.monotonic() - self._since:.0f} s")
            if self._since is not None:
                self.back_at = time.monotonic()
            self._since, self._said, self._given_up = None, False, False

    def _give_up(self, fault: Fault, waited: float) -> NoReturn:
        self.give_up()
        told = "cannot be used any more"
        if fault.passing:
            told = f"has not answered for {waited:.0f} s"
        reason = without_password(fault.reason)
        message = f"{self.name} {told} ({reason}); nothing of it is counted as failed"
        raise self._error(message, waited if fault.passing else float("inf")) from None

    def _sleep(self, seconds: float) -> None:
        try:
            time.sleep(seconds)
        except KeyboardInterrupt:  # whoever waits no longer must not wait again to tidy up
            self.give_up()
            raise


def say(text: str) -> None:
    """Say a line on the screen of the command: in a trial's process its output goes to a file."""
    trial = current_trial()
    if trial is not None:
        trial.say(text)
    else:
        log.warning(text)
