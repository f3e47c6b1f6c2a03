"""CSV tables that no spreadsheet runs: one writer and one reader of their cells."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
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


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes: signs of East Asia take two.

    Example:
        >>> width("cat"), width("猫"), width("cafe\u0301")
        (3, 2, 4)
    """
    wide = sum(unicodedata.east_asian_width(sign) in "WF" for sign in text)
    return len(text) + wide - sum(unicodedata.combining(sign) > 0 for sign in text)


def padded(text: str, columns: int) -> str:
    """Return a text filled with spaces up to a width.

    Example:
        >>> padded("猫", 4)
        '猫  '
    """
    return text + " " * (columns - width(text))


def columns(own: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Return names of columns, all different: a table's own, and one for each class.

    Args:
        own: Names that stay as they are.
        classes: Names of classes; one that is also another column's gets `` (class)`` behind it.

    Example:
        >>> columns(("path", "label"), ("label", "bottle"))
        ['path', 'label', 'label (class)', 'bottle']
    """
    names = list(own)
    for one in classes:
        name = one
        while name in names or (name != one and name in classes):
            name += " (class)"
        names.append(name)
    return names


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
    head, *others = rows or [[]]
    names = [text(name) for name in head]
    first = {name: index for index, name in reversed(list(enumerate(names)))}
    places = sorted(first.items(), key=lambda item: item[1])
    return [
        {name: text(row[index]) if index < len(row) else "" for name, index in places}
        for row in others
        if row
    ]
