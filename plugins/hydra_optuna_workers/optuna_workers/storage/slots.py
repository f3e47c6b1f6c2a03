"""The slots of a study: who runs which, and how each ended.

Optuna has no claim that is exact on SQLite (its queue of waiting trials gives one trial to two
processes). So a slot is taken by INSERT, where the primary key lets one win, and taken over from
a dead worker by an UPDATE that names the state it expects (compare and swap).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from optuna_workers.storage import process_identity
from optuna_workers.storage.notes import Notes, tables
from optuna_workers.storage.retry import patiently

RUNNING, WAITING, ENDED = "RUNNING", "WAITING", ("COMPLETE", "PRUNED", "FAIL")

SLOTS = sa.Table(
    "hydra_slots",
    tables,
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


class Claims(Notes):
    """The claims of one study, for one worker; and the study's notes."""

    def take(self, total: int) -> Claim | None:
        """Claim one slot of ``total``, or return None if none is free at present."""
        return self._take_over() or self._take_new(total)

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
            if process_identity.worker_of(row.owner).startswith(f"{session}/"):
                same = (SLOTS.c.slot == row.slot, SLOTS.c.owner == row.owner)
                self._change(*same, SLOTS.c.state == RUNNING, state=WAITING)

    def expire(self, row: Any) -> None:
        """Let every process know at once that a lease is over, which this one has watched."""
        same = (SLOTS.c.slot == row.slot, SLOTS.c.owner == row.owner, SLOTS.c.lease == row.lease)
        self._change(*same, SLOTS.c.state == RUNNING, lease=0.0)

    @patiently
    def counts(self) -> dict[str, int]:
        """Return the number of slots by state."""
        query = self._slots(SLOTS.c.state, sa.func.count()).group_by(SLOTS.c.state)
        with self._engine.connect() as connection:
            return {state: count for state, count in connection.execute(query)}

    def ended(self) -> int:
        """Return how many slots have ended."""
        counts = self.counts()
        return sum(counts.get(state, 0) for state in ENDED)

    @patiently
    def rows(self, *where: Any) -> list[Any]:
        """Return whole rows, by slot."""
        with self._engine.connect() as connection:
            return list(connection.execute(self._slots().where(*where).order_by(SLOTS.c.slot)))

    def ended_with(self, point: str) -> Any | None:
        """Return the row of a slot that completed with the same point, if there is one."""
        same = self.rows(SLOTS.c.point == point, SLOTS.c.state == "COMPLETE")
        return same[0] if same else None

    # rows

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

    def _held(self, claim: Claim) -> tuple[Any, ...]:
        return (SLOTS.c.slot == claim.slot, SLOTS.c.attempt == claim.attempt,
                SLOTS.c.owner == self.owner, SLOTS.c.state == RUNNING)  # fmt: skip

    def _slots(self, *columns: Any) -> sa.Select:
        return sa.select(*(columns or (SLOTS,))).where(SLOTS.c.study == self._study)

    @patiently
    def _change(self, *where: Any, **values: Any) -> int:
        change = sa.update(SLOTS).where(SLOTS.c.study == self._study, *where).values(**values)
        with self._engine.begin() as connection:
            return connection.execute(change).rowcount


def read_facts(row: Any) -> dict[str, Any]:
    """Return what a slot's row keeps as JSON: params, overrides, directory, values and more."""
    empty: dict[str, Any] = {"params": {}, "overrides": [], "directory": "", "values": None}
    return {**empty, **json.loads(row.facts or "{}")}
