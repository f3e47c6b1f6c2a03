"""Waits for a database that is away for a moment, so that no finished trial is lost with it."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError

log = logging.getLogger(__name__)

WAITS = (0.5, 1, 2, 4, 8, 16, 30)
"""Seconds between tries: a server that restarts is back within a minute."""

P = ParamSpec("P")
R = TypeVar("R")


def patiently(call: Callable[P, R]) -> Callable[P, R]:
    """Wrap a call that may be repeated: it is tried again while the database does not answer."""

    @functools.wraps(call)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        for wait in WAITS:
            try:
                return call(*args, **kwargs)
            except (DBAPIError, StorageInternalError) as error:
                if not _is_passing(error):
                    raise
                log.warning("the database does not answer; trying again in %g s", wait)
                time.sleep(wait)
        return call(*args, **kwargs)

    return wrapped


def _is_passing(error: Exception) -> bool:
    cause = error if isinstance(error, DBAPIError) else error.__cause__
    return isinstance(cause, OperationalError) or bool(getattr(cause, "connection_invalidated", 0))


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
