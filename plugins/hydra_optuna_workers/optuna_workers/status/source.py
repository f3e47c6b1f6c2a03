"""The database that a person names: a URL, a file, or the folder of a ``study.db``."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from optuna_workers.masking import without_password
from optuna_workers.storage.location import SQLITE, beginning, file_of

FORMS = "a database URL, a study.db or its folder"


class NotFound(Exception):
    """There is no such database, or no such study in it; the message is one line."""


@contextlib.contextmanager
def opened(storage: str) -> Iterator[sa.Engine]:
    """Open a database for reading; nothing is ever made or changed in it.

    Args:
        storage: A database URL, the path of a SQLite file, or of a folder with a ``study.db``.

    Raises:
        NotFound: there is none, or it does not answer.
    """
    shown = without_password(storage)
    try:
        engine = _engine(storage)
        with engine.connect():
            pass
    except (sa.exc.SQLAlchemyError, ImportError, OSError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise NotFound(f"{shown}: this database cannot be read: {reason}") from None
    try:
        yield engine
    finally:
        engine.dispose()


def _engine(storage: str) -> sa.Engine:
    if "://" in storage and not storage.startswith("sqlite"):
        waits = {"connect_timeout": 10} if storage.startswith("postgresql") else {}
        return sa.create_engine(
            storage, poolclass=NullPool, connect_args=waits,
            execution_options={"postgresql_readonly": True},
        )  # fmt: skip
    file = _file(storage)

    def connect() -> sqlite3.Connection:
        # not mode=ro: what a killed writer left half done could not be undone, nor be read
        connection = sqlite3.connect(f"file:{quote(str(file))}?mode=rw", timeout=60, uri=True)
        connection.execute("PRAGMA query_only = ON")
        return connection

    return sa.create_engine("sqlite://", creator=connect, poolclass=NullPool)


def _file(storage: str) -> Path:
    path = file_of(storage) if storage.startswith("sqlite") else Path(storage)
    if path.is_dir():
        path /= "study.db"
    if not path.is_file():
        raise NotFound(f"{path}: there is no such file; give {FORMS}")
    if beginning(path) != SQLITE:
        raise NotFound(f"{path}: this is no SQLite database; give {FORMS}")
    return path
