"""Studies of many SQLite files copied into one, because Optuna's dashboard takes only one."""

from __future__ import annotations

import sqlite3
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from catdog.errors import ConfigError

STRIDE = 10**9
"""Distance of one study's ids from the next one's."""

OPTUNAS = ("stud", "trial", "version_info", "alembic_version")
"""How the names of Optuna's own tables begin."""


class StudyCopies:
    """Copies of all studies below a folder, brought up to date as they grow.

    The files themselves are only read: what is deleted or noted in a copy stays there.

    Args:
        folder: Has the studies as ``<name>/study.db``.
        copy: The database to make.
    """

    def __init__(self, folder: Path, copy: Path) -> None:
        self._folder, self._copy = folder, copy
        self._copied: dict[Path, float] = {}

    def refresh(self) -> list[str]:
        """Copy what has changed.

        Returns:
            The studies' names. A file that cannot be read is left out until it changes.
        """
        for number, file in enumerate(self._files()):
            changed = max(path.stat().st_mtime for path in _parts(file))
            if self._copied.get(file) != changed:
                self._copied[file] = changed
                self._take(file, number * STRIDE)
        with closing(sqlite3.connect(self._copy)) as copy:
            there = copy.execute("SELECT 1 FROM sqlite_master WHERE name = 'studies'").fetchone()
            return [n for (n,) in copy.execute("SELECT study_name FROM studies")] if there else []

    def _files(self) -> list[Path]:
        """Return the files in the order in which they were found first: it gives their ids."""
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
            return  # not Optuna's, half made, or of another version


def database(folder: Path, name: str) -> str:
    """Return the address of one study's own file.

    Raises:
        ConfigError: there is none.
    """
    file = folder / name / "study.db"
    if file.is_file():
        return f"sqlite:///{file.absolute()}"
    names = sorted(path.parent.name for path in folder.glob("*/study.db"))
    listed = f"there are: {', '.join(names)}" if names else "there is none"
    raise ConfigError("--study", name, f"no such study in {folder}; {listed}")


def _parts(file: Path) -> list[Path]:
    log = file.with_name(f"{file.name}-wal")
    return [file, log] if log.exists() else [file]


def _read_only(file: Path) -> str:
    return f"file:{urllib.parse.quote(str(file.absolute()))}?mode=ro"


def _tables(source: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    for name, made_by in source.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY rowid"
    ).fetchall():
        if name.startswith(OPTUNAS):
            yield name, made_by


def _copy_rows(
    source: sqlite3.Connection, copy: sqlite3.Connection, table: str, distance: int
) -> None:
    """Copy a table's rows; a number whose name ends in ``_id`` names a row, here or elsewhere."""
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
