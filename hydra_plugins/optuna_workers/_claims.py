"""The claim table: who runs which slot of a study.

Optuna has no claim that is exact on SQLite (its queue of waiting trials gives one trial to two
processes). So a slot is taken by INSERT, where the primary key lets one win, and taken over from
a dead worker by an UPDATE that names the state it expects (compare and swap).
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from hydra_plugins.optuna_workers import _owner
from hydra_plugins.optuna_workers._patience import patiently

RUNNING, WAITING, ENDED = "RUNNING", "WAITING", ("COMPLETE", "PRUNED", "FAIL")

_tables = sa.MetaData()

SLOTS = sa.Table(
    "hydra_slots",
    _tables,
    sa.Column("study", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False, default=0),
    sa.Column("owner", sa.String(255), nullable=False),
    sa.Column("lease", sa.Float, nullable=False),
    sa.Column("trial", sa.Integer),
    sa.Column("point", sa.String(64), index=True),
    sa.Column("facts", sa.Text),  # JSON: params, overrides, directory; values, error, seconds
    sa.Column("status", sa.String(200)),
    sa.Column("started", sa.Float),
    sa.Column("ended", sa.Float),
)
"""One row per slot. ``trial`` is Optuna's number, ``lease`` and times are the database's."""

NOTES = sa.Table(
    "hydra_notes",
    _tables,
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


@dataclass(frozen=True)
class Claim:
    """A slot that this worker holds.

    Attributes:
        slot: From 0.
        attempt: How many of its trials were lost before with a worker that died.
        trial: Number of the trial that was lost, or None for a first try.
    """

    slot: int
    attempt: int = 0
    trial: int | None = None


class Claims:
    """The claims of one study, for one worker.

    Args:
        engine: The study's database.
        study: Optuna's id of the study.
        worker: Name of the worker within this process.
        lease_seconds: How long a claim of another host is believed without being renewed.
    """

    def __init__(
        self, engine: sa.Engine, study: int, *, worker: str = "", lease_seconds: float = 60.0
    ) -> None:
        self._engine, self._study, self._seconds = engine, study, lease_seconds
        self.owner = _owner.me(worker)
        self._drift = self._clock() - time.time()

    def create_tables(self) -> None:
        """Make the tables where they are missing."""
        _tables.create_all(self._engine)

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

    def _slots(self, *columns: Any) -> sa.Select:
        return sa.select(*(columns or (SLOTS,))).where(SLOTS.c.study == self._study)

    @patiently
    def _change(self, *where: Any, **values: Any) -> int:
        change = sa.update(SLOTS).where(SLOTS.c.study == self._study, *where).values(**values)
        with self._engine.begin() as connection:
            return connection.execute(change).rowcount

    # slots

    def take(self, total: int) -> Claim | None:
        """Claim one slot of ``total``, or return None if none is free at present."""
        return self._take_over() or self._take_new(total)

    def _take_over(self) -> Claim | None:
        for row in self.rows(SLOTS.c.state.in_((WAITING, RUNNING))):
            lost = row.state == RUNNING
            if lost and not self.is_abandoned(row.owner, row.lease):
                continue
            same = (SLOTS.c.slot == row.slot, SLOTS.c.owner == row.owner,
                    SLOTS.c.attempt == row.attempt, SLOTS.c.state == row.state)  # fmt: skip
            attempt = row.attempt + (lost and row.trial is not None)
            if self._change(
                *same, state=RUNNING, owner=self.owner, attempt=attempt,
                lease=self._deadline(), status=None, started=self.now(),
            ):  # fmt: skip
                return Claim(row.slot, attempt, row.trial)
        return None

    @patiently
    def _take_new(self, total: int) -> Claim | None:
        with self._engine.connect() as connection:
            last = connection.execute(self._slots(sa.func.max(SLOTS.c.slot))).scalar()
        for slot in range(0 if last is None else last + 1, total):
            row = {
                "study": self._study, "slot": slot, "state": RUNNING, "attempt": 0,
                "owner": self.owner, "lease": self._deadline(), "started": self.now(),
            }  # fmt: skip
            try:
                with self._engine.begin() as connection:
                    connection.execute(sa.insert(SLOTS).values(row))
                return Claim(slot)
            except IntegrityError:  # another worker was first
                continue
        return None

    def is_abandoned(self, owner: str, lease: float) -> bool:
        """Return whether an owner is dead, or was not heard of for longer than its lease."""
        dead = _owner.is_dead(owner)
        return lease < self.now() if dead is None else dead

    def _held(self, claim: Claim) -> tuple[Any, ...]:
        return (SLOTS.c.slot == claim.slot, SLOTS.c.attempt == claim.attempt,
                SLOTS.c.owner == self.owner, SLOTS.c.state == RUNNING)  # fmt: skip

    def started(self, claim: Claim, trial: int, point: str, facts: dict[str, Any]) -> bool:
        """Say which trial fills the slot, with what; return False if it is another's by now."""
        known = {"trial": trial, "point": point, "facts": json.dumps(facts)}
        return bool(self._change(*self._held(claim), **known))

    def retry(self, claim: Claim) -> Claim:
        """Count a trial that died although its worker lives; return the claim of the next try."""
        self._change(*self._held(claim), attempt=claim.attempt + 1, lease=self._deadline())
        return Claim(claim.slot, claim.attempt + 1, claim.trial)

    def hold(self, claim: Claim) -> bool:
        """Renew a claim; return False if another worker has taken it over."""
        return bool(self._change(*self._held(claim), lease=self._deadline()))

    def renew(self, status: str = "") -> None:
        """Renew all claims of this worker, and say what it is doing."""
        mine = (SLOTS.c.owner == self.owner, SLOTS.c.state == RUNNING)
        self._change(*mine, lease=self._deadline(), status=status[:200])

    def finish(self, claim: Claim, state: str, trial: int, facts: dict[str, Any]) -> bool:
        """End a slot; return False if another worker has taken it over."""
        ended = {"state": state, "trial": trial, "facts": json.dumps(facts), "ended": self.now()}
        return bool(self._change(*self._held(claim), **ended))

    def release(self, claim: Claim) -> None:
        """Give a slot back unfinished: it will be run again, at no cost of an attempt."""
        self._change(*self._held(claim), state=WAITING)

    def release_all(self, session: str) -> None:
        """Give back, at no cost of an attempt, what workers of a command still hold."""
        for row in self.rows(SLOTS.c.state == RUNNING):
            if _owner.worker_of(row.owner).startswith(f"{session}/"):
                same = (SLOTS.c.slot == row.slot, SLOTS.c.owner == row.owner)
                self._change(*same, SLOTS.c.state == RUNNING, state=WAITING)

    # what is known

    @patiently
    def counts(self) -> dict[str, int]:
        """Return the number of slots by state."""
        query = self._slots(SLOTS.c.state, sa.func.count()).group_by(SLOTS.c.state)
        with self._engine.connect() as connection:
            return {state: count for state, count in connection.execute(query)}

    @patiently
    def rows(self, *where: Any) -> list[Any]:
        """Return whole rows, by slot."""
        with self._engine.connect() as connection:
            return list(connection.execute(self._slots().where(*where).order_by(SLOTS.c.slot)))

    def of_slot(self, slot: int) -> tuple[Any, ...]:
        """Return the condition for one slot's row."""
        return (SLOTS.c.slot == slot,)

    def ended_with(self, point: str) -> Any | None:
        """Return the row of a slot that completed with the same point, if there is one."""
        same = self.rows(SLOTS.c.point == point, SLOTS.c.state == "COMPLETE")
        return same[0] if same else None

    # what is done once

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

    # sessions: one per command; its workers stop when it does

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
