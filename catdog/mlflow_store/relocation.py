"""Follows an MLflow store that was moved or copied, or is mounted elsewhere.

MLflow keeps the absolute address of every artifact folder in its database. Where the store's files
lie somewhere else by now, the addresses are rewritten, once, to where they are. So MLflow's pages
and its own tools find them too, and nothing is written to the old place, which may be another
project by now.
"""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from catdog.core import commands

TAG = "catdog.moved_from"
"""Tag of an experiment: the folders, as a JSON list, in which its store was before."""

COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where MLflow's database has addresses of artifacts."""

FILES = ("data.path", "data.drop", "backbone.weights", "features.dir", "tracking.uri")
"""Keys of overrides whose value may be a file of the project."""

_ADDRESS = re.compile(
    r"((?:file:(?://)?)?/.*?)/artifacts"
    r"((?:/\d+)?(?:/[0-9a-f]{32}/artifacts|/models/m-[0-9a-f]+/artifacts)?)"
)
"""The store's folder, and what MLflow adds for an experiment, a run or a model."""


@dataclass(frozen=True)
class _Row:
    """An address in the database."""

    table: str
    column: str
    address: str
    tail: str

    def below(self, folder: Path) -> Path:
        """Return where its files lie if the store lies in a folder."""
        return Path(f"{folder}/artifacts{unquote(self.tail)}")


def follow(database: Path) -> list[Path]:
    """Rewrite the addresses of artifacts that a store has taken along to where it is now.

    Addresses elsewhere, such as an experiment's own folder or bucket, stay as they are.

    Args:
        database: The store's SQLite file; if there is none, nothing is done.

    Returns:
        The folders that the store was in before; empty if it has not moved, or if it cannot be
        written.

    Raises:
        sqlite3.OperationalError: another process has locked it; it can be asked again.

    Example:
        >>> follow(Path("no/such/mlflow.db"))
        []
    """
    if not database.is_file():
        return []
    home = database.parent.resolve()
    try:
        with contextlib.closing(_opened(database, "ro")) as connection:
            moved = [
                one for one in _elsewhere(connection, home).items() if _is_ours(*one, database)
            ]
        if moved:
            with contextlib.closing(_opened(database, "rw")) as connection, connection:
                for old, rows in moved:
                    _rewrite(connection, rows, old, home)
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise
        return []  # read-only, or no database: MLflow says so in better words
    return [old for old, _ in moved]


def present(address: str, database: Path) -> str:
    """Return an address as it is where the store lies now, for a store that cannot be written.

    Args:
        address: Of a run's artifacts.
        database: The store's SQLite file.

    Example:
        >>> present("s3://bucket/artifacts", Path("mlruns/mlflow.db"))
        's3://bucket/artifacts'
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        return address
    row, home = _Row("", "", address, found[2]), database.parent.resolve()
    old = row.below(_folder(found[1]))
    moved = not old.exists() and (home / "artifacts").is_dir()
    return row.below(home).as_uri() if moved else address


def translated(words: Sequence[str], database: Path) -> list[str]:
    """Return a stored run's overrides with the files of a moved project where they are now.

    Args:
        words: Overrides, with absolute paths.
        database: The SQLite file of the MLflow store that they come from.

    >>> translated(["data.path='/photos'", "seed=1"], Path("no/such/mlflow.db"))
    ["data.path='/photos'", 'seed=1']
    """
    roots = [_roots(old, database.parent.resolve()) for old in _moved_from(database)]
    return [_translated(word, roots) for word in words]


def _translated(word: str, roots: Iterable[tuple[Path, Path]]) -> str:
    key = word.partition("=")[0]
    scheme = "sqlite:///" if key.lstrip("+") == "tracking.uri" else ""
    if key.lstrip("+") not in FILES:
        return word
    path = Path(commands.text(word).removeprefix(scheme))
    if not path.is_absolute():
        return word
    for old, new in roots:
        if path.is_relative_to(old) and (here := new / path.relative_to(old)).exists():
            return commands.override(key, f"{scheme}{here}")
    return word


def _opened(database: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.resolve().as_uri()}?mode={mode}", uri=True, timeout=1)


def _elsewhere(connection: sqlite3.Connection, home: Path) -> dict[Path, list[_Row]]:
    """Return the addresses that are not below the store's folder, by the folder they are below."""
    found: dict[Path, list[_Row]] = {}
    here = (home / "artifacts").as_uri()
    for table, column in COLUMNS:
        for (address,) in _select(connection, table, column, here):
            if match := _ADDRESS.fullmatch(address):
                row = _Row(table, column, address, match[2])
                found.setdefault(_folder(match[1]), []).append(row)
    return {old: rows for old, rows in found.items() if old.resolve() != home}


def _select(
    connection: sqlite3.Connection, table: str, column: str, here: str
) -> Iterator[tuple[str]]:
    with contextlib.suppress(sqlite3.OperationalError):  # an older MLflow has no such table
        yield from connection.execute(
            f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL "
            f"AND substr({column}, 1, ?) <> ? AND ({column} LIKE 'file:%' OR {column} LIKE '/%')",
            (len(here), here),
        )


def _folder(address: str) -> Path:
    return Path(unquote(urlsplit(address).path) if address.startswith("file:") else address)


def _is_ours(old: Path, rows: Sequence[_Row], database: Path) -> bool:
    """Return whether addresses below a folder are those of a store that was moved here."""
    home = database.parent.resolve()
    lies_here = any(row.tail and row.below(home).exists() for row in rows)
    return lies_here or not old.exists() or (old / database.name).exists()


def _rewrite(connection: sqlite3.Connection, rows: Sequence[_Row], old: Path, home: Path) -> None:
    """Rewrite one folder's addresses, and say in the database where it was."""
    for row in rows:
        new = row.below(home)
        if row.table != "experiments" and row.below(old).exists() and not new.exists():
            continue  # the database alone was copied: these can still be read there
        change = f"UPDATE {row.table} SET {row.column} = ? WHERE {row.column} = ?"
        connection.execute(change, (new.as_uri(), row.address))
    change = "UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?"
    connection.execute(change, (f"{home}/0", f"{old}/0"))  # of MLflow's own experiment Default
    before, after = _roots(old, home)
    connection.execute(
        "UPDATE tags SET value = ? || substr(value, ?) WHERE key = 'hydra.dir' "
        "AND substr(value, 1, ?) = ?",
        (str(after), len(str(before)) + 1, len(str(before)) + 1, f"{before}/"),
    )
    _note(connection, old, home)


def _roots(old: Path, new: Path) -> tuple[Path, Path]:
    """Return the projects of two folders of a store: above them, if both have the same name."""
    return (old.parent, new.parent) if old.name == new.name else (old, new)


def _note(connection: sqlite3.Connection, old: Path, home: Path) -> None:
    known = [one for one in _noted(connection) if one not in (str(old), str(home))]
    text = json.dumps([*known, str(old)][-20:])
    connection.execute("DELETE FROM experiment_tags WHERE key = ?", (TAG,))
    connection.execute(
        "INSERT INTO experiment_tags (key, value, experiment_id) "
        "SELECT ?, ?, experiment_id FROM experiments",
        (TAG, text),
    )


def _noted(connection: sqlite3.Connection) -> list[str]:
    query = "SELECT value FROM experiment_tags WHERE key = ? LIMIT 1"
    row = connection.execute(query, (TAG,)).fetchone()
    return [str(one) for one in json.loads(row[0])] if row else []


def _moved_from(database: Path) -> list[Path]:
    try:
        with contextlib.closing(_opened(database, "ro")) as connection:
            return [Path(one) for one in _noted(connection)]
    except (sqlite3.Error, ValueError):
        return []
