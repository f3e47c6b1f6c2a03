"""Leases: how an owner shows that it lives, by the database's clock."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import sqlalchemy as sa

from optuna_workers.errors import StorageAway
from optuna_workers.storage import process_identity
from optuna_workers.storage.retry import DATABASE, patiently

CLOCKS = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "mysql": "SELECT unix_timestamp(now(3))",
}
"""Machines compare leases by the database's clock; SQLite has the only machine's."""


class Leases:
    """The leases of one study, for one worker.

    Args:
        engine: The study's database.
        study: Optuna's id of the study.
        worker: Name of the worker within this process.
        lease_seconds: How long an owner on another host is believed without being renewed.
    """

    def __init__(
        self, engine: sa.Engine, study: int, *, worker: str = "", lease_seconds: float = 60.0
    ) -> None:
        self._engine, self._study, self._seconds = engine, study, lease_seconds
        self.owner = process_identity.me(worker)
        self._drift = self._clock() - time.time()

    def now(self) -> float:
        """Return the database's time in seconds since 1970."""
        return time.time() + self._drift

    def is_abandoned(self, owner: str, lease: float) -> bool:
        """Return whether an owner is dead, or has been silent for longer than its lease."""
        dead = process_identity.is_dead(owner)
        if dead is not None:
            return dead
        # while the database was away nobody could renew: each gets the time to do so
        return lease < self.now() and not DATABASE.was_away(self._seconds)

    @patiently
    def _clock(self) -> float:
        question = CLOCKS.get(self._engine.dialect.name)
        if question is None:
            return time.time()
        with self._engine.connect() as connection:
            return float(connection.execute(sa.text(question)).scalar_one())

    def _deadline(self) -> float:
        return self.now() + self._seconds


@contextlib.contextmanager
def heartbeat(beat: Callable[[], object], *, every: float) -> Iterator[None]:
    """Call a function every so many seconds, from a thread, as long as the block runs."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(every):
            with contextlib.suppress(StorageAway):  # who works there will say it
                beat()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
