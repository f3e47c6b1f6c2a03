"""Opens studies: makes or loads one, and checks that it is the one that was meant."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from filelock import FileLock
from omegaconf import DictConfig
from optuna.storages import RDBStorage

from optuna_workers.errors import SweepError
from optuna_workers.masking import remember_address, without_password
from optuna_workers.space import Space
from optuna_workers.space.difference import difference
from optuna_workers.storage import foreign, location
from optuna_workers.storage.location import Location
from optuna_workers.storage.patience import Fault
from optuna_workers.storage.retry import DATABASE, LOCKED, despite_others, fault_of, patiently
from optuna_workers.storage.slots import Claims

log = logging.getLogger(__name__)

SPACE, FIXED, STOPPED = "hydra:space", "hydra:fixed", "hydra:stopped"
"""User attributes of a study: what it searches, under which overrides; why it stopped early."""

DATABASES = "sqlite:///file.db, postgresql+psycopg://user@host/name"

_checked: set[str] = set()
"""Databases whose tables this process has seen: looking again costs 0.1 s each time."""


def open_storage(url: str, *, patient: bool = False) -> RDBStorage:
    """Open a database, making Optuna's tables where they are missing; wait for a locked file.

    Args:
        url: Its address.
        patient: Whether to wait for a server that is away too: it was there before.

    Raises:
        SweepError: it is no SQL database, or does not answer.
        StorageAway: it was away for too long, although it was there before.
    """
    judge = fault_of if patient else _lock_of
    remember_address(url)
    try:
        parsed = sa.make_url(url)
        with _one_at_a_time(url):
            DATABASE.name = f"the study's database {without_password(url)}"
            backend = parsed.get_backend_name()
            if not patient and backend == "sqlite" and not location.file_of(url).exists():
                _checked.discard(url)  # deleted since an earlier sweep of this process
            return DATABASE.outlast(lambda: _opened(url, backend), judge)
    except ImportError as error:
        package = "psycopg[binary]" if "psycopg" in url else "<the driver>"
        raise SweepError(
            "hydra.sweeper.storage", without_password(url), f"its driver is missing ({error})",
            f"pip install '{package}', or another one: {DATABASES}",
        ) from None  # fmt: skip
    except (sa.exc.SQLAlchemyError, OSError) as error:
        told = str(getattr(error, "orig", None) or error).splitlines()[0]
        shown, reason = without_password(url), without_password(told, of=url)
        raise SweepError(
            "hydra.sweeper.storage", shown, f"this storage cannot be used: {reason}", DATABASES
        ) from None


def find(
    config: DictConfig, space: Space, directions: list[str], total: int
) -> tuple[Location, bool]:
    """Return the study that a command works on, and whether nothing is left to do in it.

    Its name is written into the configuration.

    Args:
        config: The command's configuration.
        space: What it searches.
        directions: One per objective.
        total: Its slots.
    """
    named = config.hydra.sweeper.study_name is not None
    where = location.first(config, space, directions)
    if named:
        return where, is_over(where, total, stopped=False)
    default, number = where.name, 1
    while is_over(where, total, stopped=True):
        number += 1
        where = location.locate(config, f"{default}-{number}", Path(config.hydra.runtime.cwd))
    return where, False


@patiently
def claims_of(storage: RDBStorage, name: str, *, worker: str = "", lease: float = 60) -> Claims:
    """Return the slots of a study."""
    number = storage.get_study_id_from_name(name)
    return Claims(storage.engine, number, worker=worker, lease_seconds=lease)


def end_of(ended: int) -> str:
    """Return the note that ``on_study_end`` was called after so many slots had ended."""
    return f"study_end/{ended}"


@patiently
def is_over(where: Location, total: int, *, stopped: bool) -> bool:
    """Return whether all slots of a study have ended, and its callbacks know.

    Args:
        where: The study.
        total: Its slots.
        stopped: Whether one that was stopped early counts too.
    """
    if not where.exists():
        return False
    storage = open_storage(where.url)
    try:
        study = storage.get_study_id_from_name(where.name)
    except KeyError:
        return False
    if stopped and storage.get_study_user_attrs(study).get(STOPPED):
        return True
    claims = Claims(storage.engine, study)
    claims.create_tables()
    ended = claims.ended()
    return ended >= total and claims.was_done(end_of(ended))


@patiently
def create(where: Location, space: Space, directions: Sequence[Any]) -> tuple[RDBStorage, bool]:
    """Create or load the study; return its storage and whether it was there before.

    Raises:
        SweepError: the study searches something else.
    """
    storage = open_storage(where.url)
    with _one_at_a_time(where.url):
        before = where.name in {study.study_name for study in storage.get_all_studies()}
        study = optuna.create_study(
            storage=storage, study_name=where.name, directions=directions, load_if_exists=True
        )
        claims_of(storage, where.name).create_tables()
    _compare_directions(where.name, [d.name.lower() for d in study.directions], list(directions))
    _compare_fixed(study, list(space.fixed))
    now = space.canonical()
    stored = study.user_attrs.get(SPACE)
    if stored is None:
        study.set_user_attr(SPACE, now)
    elif changed := difference(stored, now):
        raise SweepError(
            "hydra.sweeper.study_name", where.name,
            f"this study searches another space ({changed})",
            "another hydra.sweeper.study_name, or the space as it was",
        )  # fmt: skip
    return storage, before


def _compare_fixed(study: optuna.Study, now: list[str]) -> None:
    """Say so if a study is gone on with under other fixed overrides.

    It is no error: on another machine the same photos may lie at another place.
    """
    now = list(map(without_password, now))
    before = study.user_attrs.get(FIXED)
    if before is not None:  # earlier versions kept passwords
        before = list(map(without_password, before))
    if before is None:
        study.set_user_attr(FIXED, now)
    elif before != now:
        log.warning(
            "study %s was begun with other overrides (%s, now %s): its trials will be of both",
            study.study_name, " ".join(before) or "none", " ".join(now) or "none",
        )  # fmt: skip


def _compare_directions(name: str, stored: list[str], asked: list[str]) -> None:
    if stored != asked:
        raise SweepError(
            "hydra.sweeper.direction", asked, f"study {name} has {stored}",
            "another hydra.sweeper.study_name",
        )  # fmt: skip


@despite_others
def _opened(url: str, backend: str) -> RDBStorage:
    waits = {"sqlite": {"timeout": 20}, "postgresql": {"connect_timeout": 10}}
    options: dict[str, Any] = {"connect_args": waits.get(backend, {})}
    if backend != "sqlite":
        options["pool_pre_ping"] = True
    known = url in _checked
    if not known:
        foreign.refuse(url, options)
    storage = RDBStorage(
        url, engine_kwargs=options, skip_compatibility_check=known, skip_table_creation=known
    )
    _checked.add(url)
    return storage


def _lock_of(error: Exception) -> Fault | None:
    """Return what is worth waiting for in a database that was never seen: another's lock."""
    fault = fault_of(error)
    return fault if fault and any(word in fault.reason for word in LOCKED) else None


@contextlib.contextmanager
def _one_at_a_time(url: str) -> Iterator[None]:
    """Lock a SQLite file's creation: alembic's tables are made by one process only."""
    if not url.startswith("sqlite"):
        yield
        return
    file = location.file_of(url)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        yield
