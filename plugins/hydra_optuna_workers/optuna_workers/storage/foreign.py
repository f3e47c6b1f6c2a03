"""Refuses to make a study's tables where something else lies than databases of studies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from optuna_workers.errors import SweepError
from optuna_workers.masking import without_password
from optuna_workers.storage import location

STUDIES, VERSION = "studies", "alembic_version"
"""Tables that Optuna makes; other programs have one of the second name too."""

FIX = "another hydra.sweeper.storage, such as {other}, or moving it away"


def refuse(url: str, options: Mapping[str, Any]) -> None:
    """Refuse a database that is a folder, another kind of file, or another program's.

    A file without tables, an empty one too, is as good as none. Servers are shared by programs,
    so there only a table that Optuna would take for its own is in the way.

    Args:
        url: The database.
        options: Arguments of SQLAlchemy's ``create_engine``.

    Raises:
        SweepError: no study can be kept there.
        sqlalchemy.exc.SQLAlchemyError: it does not answer.
    """
    sqlite = url.startswith("sqlite")
    if sqlite:
        _require_database(url, location.file_of(url))
    engine = sa.create_engine(url, **options, poolclass=NullPool)
    tables = set(sa.inspect(engine).get_table_names())
    in_the_way = tables if sqlite else tables & {VERSION}
    if in_the_way and STUDIES not in tables:
        named = ", ".join(sorted(tables)[:3])
        raise _refused(url, f"it holds another program's tables ({named})", _beside(url))


def _require_database(url: str, file: Path) -> None:
    if file.is_dir():
        raise _refused(url, "it is a folder", f"sqlite:///{file / 'study.db'}")
    begins = location.beginning(file)
    if begins and begins != location.SQLITE:  # SQLite itself overwrites a file of a few bytes
        raise _refused(url, "the file is no SQLite database", _beside(url))


def _beside(url: str) -> str:
    if not url.startswith("sqlite"):
        return "another database of that server"
    file = location.file_of(url)
    return f"sqlite:///{file.with_name(f'{file.stem}-optuna.db')}"


def _refused(url: str, reason: str, other: str) -> SweepError:
    return SweepError(
        "hydra.sweeper.storage", without_password(url), reason, FIX.format(other=other)
    )
