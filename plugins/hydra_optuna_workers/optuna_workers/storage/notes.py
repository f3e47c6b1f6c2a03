"""What is done once per study, whichever machine comes first; and which commands work on it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from optuna_workers.storage.leases import Leases, heartbeat
from optuna_workers.storage.retry import despite_others, patiently

SESSION = "session/"
"""Notes of commands that run."""

N_TRIALS = "n_trials"
"""Note of how many slots the latest command asked for; an earlier version wrote none."""

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
"""What is done once per study (``value`` is NULL while it is being done), and the sessions."""


class Notes(Leases):
    """The notes of one study, for one worker."""

    @despite_others
    def create_tables(self) -> None:
        """Make the tables where they are missing."""
        tables.create_all(self._engine)

    def once(self, key: str, make: Callable[[], Any], *, wait: bool = True) -> Any:
        """Return what ``make`` gave to whoever came first; it must be a JSON value.

        If the one that came first dies, the next takes over. With ``wait=False`` those that come
        later get None at once.
        """
        while True:
            if self._insert_note(key):
                return self._made(key, make)
            row = self._find_note(key)
            if row is not None and row.value is not None:
                return json.loads(row.value)
            if row is not None and self.is_abandoned(row.owner, row.lease):
                self._delete_note(key, owner=row.owner)
                continue
            if not wait:
                return None
            time.sleep(0.2)

    def _made(self, key: str, make: Callable[[], Any]) -> Any:
        try:
            with self._kept_alive(key):
                value = make()
        except BaseException:
            self._delete_note(key, owner=self.owner)
            raise
        self._change_note(key, value=json.dumps(value))
        return value

    def was_done(self, key: str) -> bool:
        """Return whether ``once`` has a value for a key."""
        row = self._find_note(key)
        return row is not None and row.value is not None

    def keep(self, key: str, value: Any) -> None:
        """Keep a JSON value; the latest one stands."""
        text = json.dumps(value)
        if not self._insert_note(key, text):
            self._change_note(key, value=text)

    def kept(self, key: str) -> Any:
        """Return a value that was kept, or None."""
        row = self._find_note(key)
        return None if row is None or row.value is None else json.loads(row.value)

    @contextlib.contextmanager
    def session(self, session: str) -> Iterator[None]:
        """Hold a command's session open as long as the block runs."""
        key = f"{SESSION}{session}"
        self._insert_note(key, "null")
        try:
            with self._kept_alive(key):
                yield
        finally:
            self._on_note(sa.delete(NOTES), key)

    @patiently
    def sessions(self) -> list[str]:
        """Return the commands that work on the study."""
        query = sa.select(NOTES).where(
            NOTES.c.study == self._study, NOTES.c.key.startswith(SESSION)
        )
        with self._engine.connect() as connection:
            rows = list(connection.execute(query))
        alive = [row for row in rows if not self.is_abandoned(row.owner, row.lease)]
        return [row.key.removeprefix(SESSION) for row in alive]

    def has_session(self, session: str) -> bool:
        """Return whether the command that started this worker still runs."""
        row = self._find_note(f"{SESSION}{session}")
        return row is not None and not self.is_abandoned(row.owner, row.lease)

    # rows

    def _kept_alive(self, key: str) -> contextlib.AbstractContextManager[None]:
        """Renew a note as long as the block runs, which may be longer than a lease."""

        def renew() -> None:
            self._change_note(key, lease=self._deadline())

        return heartbeat(renew, every=self._seconds / 3)

    def _insert_note(self, key: str, value: str | None = None) -> bool:
        """Make a note; return False if another has made it.

        One of our own that is found on a second try was made by the first, whose answer was lost.
        """
        row = {"study": self._study, "key": key, "owner": self.owner, "value": value,
               "lease": self._deadline()}  # fmt: skip
        tries = 0

        @patiently
        def insert() -> bool:
            nonlocal tries
            tries += 1
            return self._inserted(row)

        if insert():
            return True
        found = self._find_note(key) if tries > 1 else None
        return found is not None and found.owner == self.owner

    def _inserted(self, row: dict[str, Any]) -> bool:
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.insert(NOTES).values(row))
            return True
        except IntegrityError:
            return False

    def _change_note(self, key: str, **values: Any) -> None:
        self._on_note(sa.update(NOTES).values(**values), key)

    def _delete_note(self, key: str, owner: str) -> None:
        """Take a note away, so that it is made again."""
        self._on_note(sa.delete(NOTES), key, NOTES.c.owner == owner)

    @patiently
    def _on_note(self, statement: Any, key: str, *where: Any) -> None:
        same = (NOTES.c.study == self._study, NOTES.c.key == key, *where)
        with self._engine.begin() as connection:
            connection.execute(statement.where(*same))

    @patiently
    def _find_note(self, key: str) -> Any | None:
        query = sa.select(NOTES).where(NOTES.c.study == self._study, NOTES.c.key == key)
        with self._engine.connect() as connection:
            return connection.execute(query).first()
