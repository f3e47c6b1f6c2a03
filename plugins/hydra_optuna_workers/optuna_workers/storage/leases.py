"""What is done once per study, whichever machine comes first; and which commands work on it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from optuna_workers.storage import process_identity
from optuna_workers.storage.retry import despite_others, patiently

tables = sa.MetaData()

NOTES = sa.Table(
    "hydra_notes",
    tables,
    sa.Column("study", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", sa.String(128), primary_key=True),
    sa.Column("owner", sa.String(255), nullable=False),
    sa.Column("lease", sa.Float, nullable=False),
    sa.Column("value", sa.Text),
)
"""What is done once per study (``value`` is null while it is being done), and the sessions."""

CLOCKS = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "mysql": "SELECT unix_timestamp(now(3))",
}
"""Machines compare leases by the database's clock; SQLite has the only machine's."""


class Notes:
    """The notes of one study, for one worker.

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

    @despite_others
    def create_tables(self) -> None:
        """Make the tables where they are missing."""
        tables.create_all(self._engine)

    def _clock(self) -> float:
        question = CLOCKS.get(self._engine.dialect.name)
        if question is None:
            return time.time()
        with self._engine.connect() as connection:
            return float(connection.execute(sa.text(question)).scalar_one())

    def now(self) -> float:
        """Return the database's time in seconds since 1970."""
        return time.time() + self._drift

    def _deadline(self) -> float:
        return self.now() + self._seconds

    def is_abandoned(self, owner: str, lease: float) -> bool:
        """Return whether an owner is dead, or was not heard of for longer than its lease."""
        dead = process_identity.is_dead(owner)
        return lease < self.now() if dead is None else dead

    def once(self, key: str, make: Callable[[], Any], *, wait: bool = True) -> Any:
        """Return what ``make`` gave to whoever came first; it must be a JSON value.

        If the one that came first dies, the next takes over. With ``wait=False`` those that come
        later get None at once.
        """
        while True:
            if self._note(key):
                try:
                    with self.kept_alive(key):
                        value = make()
                except BaseException:
                    self.forget(key)
                    raise
                self._set_note(key, value)
                return value
            row = self._noted(key)
            if row is not None and row.value is not None:
                return json.loads(row.value)
            if row is not None and self.is_abandoned(row.owner, row.lease):
                self.forget(key, owner=row.owner)
                continue
            if not wait:
                return None
            time.sleep(0.2)

    def was_done(self, key: str) -> bool:
        """Return whether ``once`` has a value for a key."""
        row = self._noted(key)
        return row is not None and row.value is not None

    @contextlib.contextmanager
    def kept_alive(self, key: str) -> Iterator[None]:
        """Renew a note as long as the block runs, which may be longer than a lease."""
        over = threading.Event()

        def renew() -> None:
            while not over.wait(self._seconds / 3):
                self._on_note(sa.update(NOTES).values(lease=self._deadline()), key)

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _note(self, key: str, value: str | None = None) -> bool:
        row = {"study": self._study, "key": key, "owner": self.owner, "value": value,
               "lease": self._deadline()}  # fmt: skip
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.insert(NOTES).values(row))
            return True
        except IntegrityError:
            return False

    def _set_note(self, key: str, value: Any) -> None:
        self._on_note(sa.update(NOTES).values(value=json.dumps(value)), key)

    @patiently
    def _on_note(self, change: Any, key: str, *where: Any) -> int:
        same = (NOTES.c.study == self._study, NOTES.c.key == key, *where)
        with self._engine.begin() as connection:
            return connection.execute(change.where(*same)).rowcount

    @patiently
    def _noted(self, key: str) -> Any | None:
        query = sa.select(NOTES).where(NOTES.c.study == self._study, NOTES.c.key == key)
        with self._engine.connect() as connection:
            return connection.execute(query).first()

    def forget(self, key: str, owner: str | None = None) -> None:
        """Take a note away, so that it is made again."""
        self._on_note(sa.delete(NOTES), key, NOTES.c.owner == (owner or self.owner))

    @contextlib.contextmanager
    def session(self, session: str) -> Iterator[None]:
        """Hold a session open as long as the block runs."""
        key = f"session/{session}"
        self._note(key, "null")
        try:
            with self.kept_alive(key):
                yield
        finally:
            self._on_note(sa.delete(NOTES), key)

    @patiently
    def others(self, session: str) -> int:
        """Return how many other commands work on the study."""
        query = sa.select(NOTES).where(
            NOTES.c.study == self._study, NOTES.c.key.startswith("session/")
        )
        with self._engine.connect() as connection:
            rows = list(connection.execute(query))
        alive = [row for row in rows if not self.is_abandoned(row.owner, row.lease)]
        return sum(row.key != f"session/{session}" for row in alive)

    def has_session(self, session: str) -> bool:
        """Return whether the command that started this worker still runs."""
        row = self._noted(f"session/{session}")
        return row is not None and not self.is_abandoned(row.owner, row.lease)
