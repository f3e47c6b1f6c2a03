"""CSV tables that no spreadsheet runs: one writer and one reader of their cells."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TextIO

_RUNS = re.compile(r"'*[ ]*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""How a cell starts that a spreadsheet takes for a formula; the last four are full-width."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)", re.ASCII)

LONGEST_CELL = 1 << 20
"""Characters of a cell that are read."""


def cell(value: object) -> object:
    """Return a value as a cell that a spreadsheet shows and does not run.

    Args:
        value: Text gets an apostrophe before what would start a formula; numbers stay numbers.

    Example:
        >>> cell("=1+1.jpg"), cell("-0.5"), cell(-0.5), cell("'=x"), cell("'tis.jpg")
        ("'=1+1.jpg", '-0.5', -0.5, "''=x", "'tis.jpg")
    """
    if isinstance(value, str) and _RUNS.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def text(written: str) -> str:
    """Return what a cell was made from.

    Example:
        >>> text("'=1+1.jpg"), text("''=x"), text("'tis.jpg"), text("=old.jpg")
        ('=1+1.jpg', "'=x", "'tis.jpg", '=old.jpg')
    """
    inner = written[1:]
    made = written.startswith("'") and _RUNS.match(inner) and not _NUMBER.fullmatch(inner)
    return inner if made else written


def write_rows(out: TextIO, rows: Iterable[Sequence[object]]) -> None:
    r"""Write rows as CSV, with ``\n`` at the end of each line.

    Args:
        out: The open text file.
        rows: Cells; None leaves one empty.

    Example:
        >>> import sys
        >>> write_rows(sys.stdout, [("photo", "loss"), ("a,b.jpg", -0.25), ("@c.jpg", None)])
        photo,loss
        "a,b.jpg",-0.25
        '@c.jpg,
    """
    plain = csv.writer(out, lineterminator="\n")
    quoting = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        cells = [cell(value) for value in row]
        # Python's csv leaves a carriage return bare, and readers take it for the end of the line
        odd = any("\r" in value for value in cells if isinstance(value, str))
        (quoting if odd else plain).writerow(cells)


def read_rows(content: str) -> list[dict[str, str]]:
    r"""Return the rows of a CSV table by column, as they were before they were written.

    Args:
        content: The table. A cell that a row lacks is empty, one too many is left out.

    Raises:
        ValueError: it is no CSV, or a cell has more than a million characters.

    Example:
        >>> read_rows("photo,loss\n'=1+1.jpg,0.5\n")
        [{'photo': '=1+1.jpg', 'loss': '0.5'}]
    """
    csv.field_size_limit(LONGEST_CELL)
    try:
        rows = list(csv.reader(io.StringIO(content, newline="")))
    except csv.Error as error:
        raise ValueError(str(error)) from None
    columns, *others = rows or [[]]
    names = [text(name) for name in columns]
    filled = (chain(row, [""] * (len(names) - len(row))) for row in others if row)
    return [dict(zip(names, map(text, cells), strict=False)) for cells in filled]
