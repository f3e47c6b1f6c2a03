"""Writes files completely or not at all, and makes folders once, whichever processes ask."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from catdog.core import links, tables, use_locks
from catdog.errors import DataError

MOST_TRIES = 3
"""A folder that is still not complete after as many tries is an error. One try is enough unless
other processes remove it meanwhile."""


@contextmanager
def arriving(path: Path) -> Iterator[Path]:
    """Yield a path to write to; the complete file then appears at ``path``, or nothing does.

    The yielded path has the name of ``path``, since some writers depend on the ending, and is on
    the same file system.

    Args:
        path: The file, in a folder that exists.

    Raises:
        OSError: the folder cannot be written.

    >>> file = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with arriving(file) as unfinished:
    ...     _ = unfinished.write_text("all of it")
    ...     file.exists()
    False
    >>> file.read_text()
    'all of it'
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        unfinished = Path(folder) / path.name
        yield unfinished
        os.replace(unfinished, path)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that others see all of it or none; make its folder if it is missing.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with arriving(path) as unfinished:
        unfinished.write_bytes(data)


def write_csv(
    path: Path,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    digits: int | None = None,
) -> None:
    r"""Write a table as CSV, with ``\n`` at the end of each line; ``tables.read_rows`` reads it.

    Text that a spreadsheet would run, such as ``=1+1.jpg``, gets an apostrophe in front.

    Args:
        path: The file.
        columns: Names, the first line.
        rows: One value for each column; None leaves a cell empty.
        digits: Significant digits of floats, at least 1; None writes as many as tell each float
            from every other one.

    Raises:
        OSError: it cannot be written.

    >>> file = Path(tempfile.mkdtemp()) / "a.csv"
    >>> write_csv(file, ("photo", "loss"), [("a,b.jpg", 1 / 3)], digits=3)
    >>> file.read_text()
    'photo,loss\n"a,b.jpg",0.333\n'
    """
    text = io.StringIO()
    rounded = ([_rounded(value, digits) for value in row] for row in rows)
    tables.write_rows(text, chain([columns], rounded))
    write_atomically(path, text.getvalue().encode())


def _rounded(value: object, digits: int | None) -> object:
    return f"{value:.{digits}g}" if digits and isinstance(value, float) else value


def make_once(
    target: Path,
    make: Callable[[Path], None],
    *,
    is_whole: Callable[[Path], bool] = Path.is_dir,
) -> None:
    """Make a folder unless it exists, and hold it in use until this process ends.

    Of several processes one makes it and the others wait. It is made under another name and then
    renamed, so that others see it complete; what a killed process left is removed.

    Args:
        target: The folder.
        make: Fills an empty folder, which becomes ``target``. Its errors pass through, and
            nothing is left then.
        is_whole: Whether ``target`` exists and is complete; else it is made again.

    Raises:
        DataError: one of the names that are used is a link, or what was made is not complete.
        OSError: the folder cannot be written.

    Example:
        >>> folder = Path(tempfile.mkdtemp()) / "photos"
        >>> make_once(folder, lambda empty: (empty / "a.jpg").touch())
        >>> make_once(folder, lambda empty: print("not called again"))
        >>> [path.name for path in folder.iterdir()]
        ['a.jpg']
    """
    for _ in range(MOST_TRIES):
        if use_locks.hold(target) and is_whole(target):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with links.lock(Path(f"{target}.lock")):
            if not is_whole(target):
                _make(target, make)
    raise DataError(target, "is not complete although it was just made", "Check the disk")


def _make(target: Path, make: Callable[[Path], None]) -> None:
    # the lock makes sure that no other process uses these two names
    partial, outdated = Path(f"{target}.partial"), Path(f"{target}.old")
    links.refuse(target, partial, outdated)
    for leftover in (partial, outdated):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir(mode=0o700)  # so that nobody can put a link into what is being made
    inside = partial / target.name  # this one has the usual permissions
    inside.mkdir()
    try:
        make(inside)
        if target.exists():
            target.rename(outdated)
        inside.rename(target)
    finally:
        for leftover in (partial, outdated):
            shutil.rmtree(leftover, ignore_errors=True)
