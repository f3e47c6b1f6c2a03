"""Reads the studies of a database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from optuna_workers.display.snapshot import best_of, finished_of
from optuna_workers.masking import without_password
from optuna_workers.status.source import NotFound, opened
from optuna_workers.status.study import SlotStatus, SlotTime, StudyStatus
from optuna_workers.storage import process_identity
from optuna_workers.storage.notes import N_TRIALS
from optuna_workers.storage.slots import ENDED, RUNNING, SLOTS, WAITING, Claims, read_facts
from optuna_workers.storage.studies import SPACE, STOPPED

STUDIES = sa.table("studies", sa.column("study_id"), sa.column("study_name"))
DIRECTIONS = sa.table(
    "study_directions", sa.column("study_id"), sa.column("direction"), sa.column("objective")
)
ATTRIBUTES = sa.table(
    "study_user_attributes", sa.column("study_id"), sa.column("key"), sa.column("value_json")
)
"""Optuna's tables, as far as they are read here."""


def read(storage: str) -> list[StudyStatus]:
    """Return the sweeper's studies in a database, by name.

    Args:
        storage: A database URL, the path of a SQLite file, or of a folder with a ``study.db``.

    Raises:
        NotFound: there is no such database, or no study of the sweeper in it.
    """
    shown = without_password(storage)
    with opened(storage) as engine:
        if not {"studies", SLOTS.name} <= set(sa.inspect(engine).get_table_names()):
            raise NotFound(f"{shown}: no sweep of this plugin has used this database")
        return sorted(_studies(engine, shown), key=lambda study: study.name)


def times(storage: str) -> list[SlotTime]:
    """Return when the trials of a database's ended slots ran, by their start.

    A slot is held from before its trial is made until after Optuna knows its end, so this counts
    what lies around a trial too.

    Args:
        storage: As for `read`.

    Raises:
        NotFound: there is no such database.
    """
    query = sa.select(SLOTS.c.started, SLOTS.c.ended, SLOTS.c.state)
    with opened(storage) as engine, engine.connect() as connection:
        rows = connection.execute(query.where(SLOTS.c.ended > 0).order_by(SLOTS.c.started))
        return [SlotTime(*row) for row in rows]


def _studies(engine: sa.Engine, storage: str) -> Iterator[StudyStatus]:
    with engine.connect() as connection:
        names = list(connection.execute(sa.select(STUDIES)))
        ways = list(connection.execute(sa.select(DIRECTIONS).order_by(DIRECTIONS.c.objective)))
        wanted = sa.select(ATTRIBUTES).where(ATTRIBUTES.c.key.in_((SPACE, STOPPED)))
        known = {(row.study_id, row.key): row.value_json for row in connection.execute(wanted)}
    for number, name in names:
        if (number, SPACE) in known:  # others are Optuna's own, or another program's
            directions = tuple(way.direction.lower() for way in ways if way.study_id == number)
            stopped = json.loads(known.get((number, STOPPED), '""'))
            yield _study(Claims(engine, number), name, storage, directions, stopped)


def _study(
    claims: Claims, name: str, storage: str, directions: tuple[str, ...], stopped: str
) -> StudyStatus:
    rows, now = claims.rows(), claims.now()
    ended = [finished_of(row) for row in rows if row.state in ENDED]
    return StudyStatus(
        name=name,
        storage=storage,
        directions=directions,
        n_trials=claims.kept(N_TRIALS),
        slots=tuple(_slot(row, now) for row in rows),
        best=tuple(best_of(ended, directions)),
        commands=len(claims.sessions()),
        stopped=stopped,
        now=now,
    )


def _slot(row: Any, now: float) -> SlotStatus:
    facts: Mapping[str, Any] = read_facts(row)
    host, pid = process_identity.shown(row.owner)
    dead = process_identity.is_dead(row.owner)
    return SlotStatus(
        slot=row.slot,
        state=row.state,
        attempt=row.attempt,
        trial=row.trial,
        host=host,
        pid=pid,
        started=row.started,
        alive=None if dead is None else not dead,
        lease=row.lease - now,
        status=row.status or "",
        error=facts.get("error", "") if row.state not in (RUNNING, WAITING) else "",
    )
