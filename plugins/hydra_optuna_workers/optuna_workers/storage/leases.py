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
"""Machines compare leases by the database's clock; SQLite has none, see ``is_abandoned``."""

LONGEST = 10
"""How many of our leases we watch at most for one that lies further ahead, by our clock."""

_seen: dict[tuple[str, float], float] = {}
"""When this process first saw an owner's lease, by a clock that does not jump."""


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
        self._offset = self._clock() - process_identity.steady()

    def now(self) -> float:
        """Return the database's time in seconds since 1970; it goes on evenly from the start."""
        return process_identity.steady() + self._offset

    def is_abandoned(self, owner: str, lease: float) -> bool:
        """Return whether an owner is dead, or has been silent for longer than its lease.

        With SQLite in a shared folder there are only the machines' own clocks, and one may have
        jumped. So there a lease is over when it was not renewed while we watched.
        """
        dead = process_identity.is_dead(owner)
        if dead is not None:
            return dead
        # while the database was away nobody could renew: each gets the time to do so
        return self._is_over(owner, lease) and not DATABASE.was_away(self._seconds)

    def _is_over(self, owner: str, lease: float) -> bool:
        long_ago = lease < self.now() - process_identity.DAY  # no step of a clock is as long
        if long_ago or self._engine.dialect.name in CLOCKS:
            return lease < self.now()
        now = process_identity.steady()
        if len(_seen) > 10_000:  # a few weeks of renewals
            _seen.clear()
        watched = now - _seen.setdefault((owner, lease), now)
        left = min(lease - (self.now() - watched), LONGEST * self._seconds)
        return watched > max(left, self._seconds)

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
