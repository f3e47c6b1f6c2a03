"""Files that others see whole or not at all."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

UMASK = os.umask(0)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that others see all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "wb") as out:
        out.write(data)
    os.chmod(scratch, 0o666 & ~UMASK)  # mkstemp's files are for their owner alone
    os.replace(scratch, path)


def write_rows(path: Path, kind: type[NamedTuple], rows: Sequence[tuple[Any, ...]]) -> None:
    """Write a CSV of named tuples, numbers with six digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(kind._fields)
    for row in rows:
        writer.writerow(f"{value:.6g}" if isinstance(value, float) else value for value in row)
    write_atomically(path, text.getvalue().encode())


def _write_csv(path: Path, columns: Sequence[str], rows: object) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)  # type: ignore[arg-type]
    write_atomically(path, text.getvalue().encode())
