"""Reads databases of runs and of studies: how many there are, and whether the database answers.

Nothing is created: no database, no tables, and no files beside a SQLite database.
"""

from __future__ import annotations

import importlib.util
import os
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catdog.core import commands, paths
from catdog.errors import CatdogError

if TYPE_CHECKING:
    import sqlalchemy as sa

SECONDS = 5


def mlflow_store(uri: str | None) -> tuple[str, str]:
    """Return the address of the MLflow store, and the option or variable that sets it.

    Args:
        uri: The value of ``--uri``, or None.
    """
    if uri:
        return uri, "--uri"
    if variable := os.environ.get("MLFLOW_TRACKING_URI"):
        return variable, "MLFLOW_TRACKING_URI"
    return paths.store(None, paths.root()), "--uri"


def runs(uri: str) -> str:
    """Return the number of runs in an MLflow database as text; empty if it has no tables.

    Raises:
        CatdogError: it does not answer, or its tables are of another version of MLflow.
    """
    with _connected(uri) as database:
        if not _has(database, "experiments"):
            return ""
        (version,) = _row(database, "SELECT version_num FROM alembic_version")
        known, outdated = _revisions()
        if version in outdated:
            fix = commands.command("mlflow", "db", "upgrade", paths.without_password(uri))
            found = "its tables are of an older MLflow"
            raise CatdogError(f"{found}; try `{fix}`, after a copy of it")
        if known and version not in known:
            fix = "`pip install --upgrade mlflow`"
            raise CatdogError(f"its tables are of a newer MLflow than is installed; try {fix}")
        (count,) = _row(database, "SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'")
        return f"{count:,} run{'' if count == 1 else 's'}"


def studies(url: str) -> tuple[int, int] | None:
    """Return the numbers of studies and trials in Optuna's database, or None without tables.

    Raises:
        CatdogError: it does not answer.
    """
    with _connected(url) as database:
        if not _has(database, "studies"):
            return None
        (studies,) = _row(database, "SELECT count(*) FROM studies")
        return studies, _row(database, "SELECT count(*) FROM trials")[0]


@contextmanager
def _connected(url: str) -> Iterator[sa.Connection]:
    import sqlalchemy as sa

    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
        if backend == "sqlite":
            parsed = parsed.set(database=_read_only(paths.sqlite_file(url)), query={"uri": "true"})
        waits = {"sqlite": {"timeout": SECONDS}, "postgresql": {"connect_timeout": SECONDS}}
        arguments: dict[str, Any] = waits.get(backend, {})
        engine = sa.create_engine(parsed, connect_args=arguments, poolclass=sa.NullPool)
        with engine.connect() as connection:
            yield connection
    except (sa.exc.SQLAlchemyError, ImportError, OSError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise CatdogError(paths.without_password(reason)) from None


def _read_only(file: Path) -> str:
    """Return SQLite's address of a file that creates no other files when it is read."""
    file.open("rb").close()  # SQLite's error would not say why it cannot be opened
    with file.open("rb") as opened:
        unused_wal = opened.read(20)[18:] == b"\2\2" and not Path(f"{file}-wal").exists()
    # in WAL mode without a log nobody writes to it; SQLite would create two files to read it
    mode = "immutable=1" if unused_wal else "mode=ro"
    return f"file:{urllib.parse.quote(str(file.absolute()))}?{mode}"


def _has(database: sa.Connection, table: str) -> bool:
    import sqlalchemy as sa

    return sa.inspect(database).has_table(table)


def _row(database: sa.Connection, query: str) -> Any:
    import sqlalchemy as sa

    return database.execute(sa.text(query)).one()


def _revisions() -> tuple[set[str], set[str]]:
    """Return the schema versions that the installed MLflow knows, and which are outdated."""
    from alembic.script import ScriptDirectory

    spec = importlib.util.find_spec("mlflow")
    (folder,) = spec.submodule_search_locations or [""] if spec else [""]
    scripts = ScriptDirectory(str(Path(folder) / "store" / "db_migrations"))
    known = {script.revision for script in scripts.walk_revisions()}
    return known, known - set(scripts.get_heads())
