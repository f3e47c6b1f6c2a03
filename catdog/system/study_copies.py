"""Copies the studies of many SQLite files into one, as Optuna's dashboard shows only one."""

from __future__ import annotations

import difflib
import sqlite3
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from catdog.errors import ConfigError, listed

STRIDE = 10**9
"""Distance between the ids of one file and the next in the copy."""

OPTUNA_TABLES = ("stud", "trial", "version_info", "alembic_version")
"""Prefixes of the names of Optuna's own tables."""


class StudyCopies:
    """A database with copies of all studies below a folder, which ``refresh`` updates.

    The files themselves are only read: what is deleted or noted in the copy does not reach them.

    Args:
        folder: Folder with the studies as ``<name>/study.db``.
        copy: The SQLite file of the copies.
    """

    def __init__(self, folder: Path, copy: Path) -> None:
        self._folder, self._copy = folder, copy
        self._copied: dict[Path, float] = {}

    def refresh(self) -> list[str]:
        """Copy the files that have changed.

        Returns:
            The names of all studies in the copy. A file that cannot be read is left out until it
            changes.
        """
        for number, file in enumerate(self._files()):
            changed = max(path.stat().st_mtime for path in _parts(file))
            if self._copied.get(file) != changed:
                self._copied[file] = changed
                self._take(file, number * STRIDE)
        with closing(sqlite3.connect(self._copy)) as copy:
            exists = copy.execute("SELECT 1 FROM sqlite_master WHERE name = 'studies'").fetchone()
            return [n for (n,) in copy.execute("SELECT study_name FROM studies")] if exists else []

    def _files(self) -> list[Path]:
        """Return the files in the order in which they were found, which determines their ids."""
        found = sorted(self._folder.glob("*/study.db"))
        known = [file for file in self._copied if file in found]
        return [*known, *(file for file in found if file not in known)]

    def _take(self, file: Path, distance: int) -> None:
        try:
            with (
                closing(sqlite3.connect(_read_only(file), uri=True)) as source,
                closing(sqlite3.connect(self._copy)) as copy,
                copy,
            ):
                source.execute("BEGIN")  # all tables as they were at one time
                for table, made_by in _tables(source):
                    copy.execute(made_by.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1))
                    _copy_rows(source, copy, table, distance)
        except sqlite3.Error:
            return  # not Optuna's, incomplete, or of another version


def database(folder: Path, name: str) -> str:
    """Return the address of the SQLite file of one study.

    Args:
        folder: Folder with the studies as ``<name>/study.db``.
        name: Name of the study, or a unique prefix of it.

    Raises:
        ConfigError: there is no such study, or several names start so.
    """
    names = sorted(path.parent.name for path in folder.glob("*/study.db") if path.is_file())
    fitting = [name] if name in names else [one for one in names if name and one.startswith(name)]
    if len(fitting) == 1:
        return f"sqlite:///{(folder / fitting[0] / 'study.db').absolute()}"
    near = fitting or difflib.get_close_matches(name, names, 1, 0.5)
    found = f"a prefix of {len(fitting)}" if fitting else "no such study"
    some = f"there are: {listed(fitting or names)}" if names else "there is none"
    fix = f"--study {near[0]}" if near else ""
    raise ConfigError("--study", name, f"{found} in {folder}; {some}", fix)


def _parts(file: Path) -> list[Path]:
    log = file.with_name(f"{file.name}-wal")
    return [file, log] if log.exists() else [file]


def _read_only(file: Path) -> str:
    return f"file:{urllib.parse.quote(str(file.absolute()))}?mode=ro"


def _tables(source: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    for name, made_by in source.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY rowid"
    ).fetchall():
        if name.startswith(OPTUNA_TABLES):
            yield name, made_by


def _copy_rows(
    source: sqlite3.Connection, copy: sqlite3.Connection, table: str, distance: int
) -> None:
    """Copy a table's rows with ``distance`` added to every id: the numbers named ``..._id``."""
    described = source.execute(f"PRAGMA table_info({table})").fetchall()
    moved = [
        name.endswith("_id") and kind == "INTEGER" and not table.startswith("version")
        for _, name, kind, *_ in described
    ]
    rows = source.execute(f"SELECT * FROM {table}").fetchall()
    marks = ", ".join("?" * len(described))
    copy.executemany(
        f"INSERT OR REPLACE INTO {table} VALUES ({marks})",
        [
            [
                value + distance if move and value is not None else value
                for move, value in zip(moved, row, strict=True)
            ]
            for row in rows
        ],
    )
