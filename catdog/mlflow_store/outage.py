"""Waits while the MLflow store is away, so that a run does not fail by it and loses nothing."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar

from optuna_workers import Postponed
from optuna_workers.storage.patience import GONE, Fault, Patience

from catdog.errors import CatdogError

T = TypeVar("T")

LOCKED = re.compile(r"database (table )?is (locked|busy)")
PASSING = re.compile(
    r"Max retries exceeded|Connection (refused|reset|aborted|broken)|RemoteDisconnected|"
    r"timed? ?out|Broken pipe|failed with error code (429|502|503|504)|"
    r"server closed the connection|could not connect|starting up|shutting down",
    re.IGNORECASE,
)
LIBRARIES = ("mlflow", "requests", "urllib3", "sqlalchemy", "sqlite3")
"""Whose exceptions may speak of an outage."""


class StoreAway(CatdogError, Postponed):
    """The MLflow store is gone, or did not answer for too long; the run is not to blame.

    Args:
        reason: What was seen of it.
        waited: Seconds that were waited for it.
    """

    def __init__(self, reason: str, waited: float = 0.0) -> None:
        Postponed.__init__(self, reason, waited)


STORE = Patience("the MLflow store", StoreAway)
"""The store that this process logs to; ``Tracker`` names it."""


def fault_of(error: Exception) -> Fault | None:
    """Return what is wrong with the store, or None where it is the request that is wrong.

    Example:
        >>> import sqlite3
        >>> fault_of(sqlite3.OperationalError("database is locked"))
        Fault(reason='database is locked', passing=True)
        >>> fault_of(ValueError("database is locked")) is None
        True
    """
    if not type(error).__module__.startswith(LIBRARIES):
        return None
    text = str(error)
    for sign, meaning in GONE.items():
        if sign in text.lower():
            return Fault(f"{meaning}: {sign}", passing=False)
    found = LOCKED.search(text) or PASSING.search(text)
    if found:
        return Fault(_short(text, found.group()))
    away = getattr(error, "error_code", "") == "TEMPORARILY_UNAVAILABLE"
    return Fault(_short(text, text)) if away else None


def lock_of(error: Exception) -> Fault | None:
    """Return a lock on the store's file, which is worth waiting for even at the start.

    A server that does not answer at the start has probably another address.
    """
    fault = fault_of(error)
    return fault if fault and LOCKED.search(str(error)) else None


def patient(client: T, judge: Callable[[Exception], Fault | None]) -> T:
    """Return a client whose calls wait while the store is away.

    Args:
        client: MLflow's. What may not be repeated needs its ``impatient``.
        judge: Tells an outage from other errors: ``fault_of``, or ``lock_of`` for locks only.
    """
    return _Patient(client, judge)  # type: ignore[return-value]


class _Patient:
    """Passes all calls on; each is repeated while the store is away."""

    def __init__(self, client: Any, judge: Callable[[Exception], Fault | None]) -> None:
        self.impatient, self._judge = client, judge

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.impatient, name)
        if not callable(found):
            return found

        @functools.wraps(found)
        def call(*args: Any, **kwargs: Any) -> Any:
            return STORE.outlast(functools.partial(found, *args, **kwargs), self._judge)

        return call


def _short(text: str, sign: str) -> str:
    """Return the sign alone where it says enough, else the error's first line."""
    return sign if len(sign) < 60 and "\n" not in sign else text.strip().splitlines()[0][:200]
