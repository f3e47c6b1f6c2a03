"""Waits for a database that is away for a moment, so that no finished trial is lost with it."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    OperationalError,
    PendingRollbackError,
    ProgrammingError,
)

from optuna_workers.errors import StorageAway
from optuna_workers.storage.patience import GONE, Fault, Patience

DATABASE = Patience("the study's database", StorageAway)
"""The database of the study that this process works on; ``studies`` names it."""

LOCKED = ("locked", "busy")
GONE_HERE = {**GONE, "does not exist": "it was dropped while it was in use"}
"""What the study's database says that no waiting mends, and what it means."""

# what was lost is asked for again, and said, here
logging.getLogger("optuna.storages._rdb.storage").addFilter(
    lambda record: "Falling back to a slower alternative" not in str(record.msg)
)

P = ParamSpec("P")
R = TypeVar("R")


def patiently(call: Callable[P, R]) -> Callable[P, R]:
    """Wrap a call that may be repeated: it is tried again while the database does not answer.

    Raises:
        StorageAway: it was away for too long, or is gone.
    """

    @functools.wraps(call)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        return DATABASE.outlast(functools.partial(call, *args, **kwargs), fault_of)

    return wrapped


def fault_of(error: Exception) -> Fault | None:
    """Return what is wrong with the database, or None where it is the question that is wrong."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(cause, PendingRollbackError):  # Optuna asked on after a connection was lost
        cause = cause.__context__
    if not isinstance(cause, DBAPIError) or isinstance(cause, IntegrityError):
        return None
    said = str(cause.orig).strip().splitlines()[0] if str(cause.orig).strip() else "no answer"
    for sign, meaning in GONE_HERE.items():
        if sign in said.lower():
            return Fault(f"{meaning}: {said}", passing=False)
    if type(cause.orig).__module__.startswith("sqlite3"):
        return Fault(said) if any(word in said for word in LOCKED) else None
    passing = isinstance(cause, OperationalError) or cause.connection_invalidated
    return Fault(said) if passing else None


def despite_others(make: Callable[P, R]) -> Callable[P, R]:
    """Wrap what makes the tables that are missing: of two that do so at once, one is refused.

    A server that has no such lock as the one around a SQLite file says so in one of these two
    ways; when it does, the other's tables are there.
    """

    @functools.wraps(make)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        for _ in range(2):
            try:
                return make(*args, **kwargs)
            except (IntegrityError, ProgrammingError):
                time.sleep(1)
        return make(*args, **kwargs)

    return wrapped
