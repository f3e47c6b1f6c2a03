"""How answers are written, row by row as they come: a table, CSV or JSON."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import numpy as np

    Answers = Iterable[tuple[str, np.ndarray]]
    """What a photo is called, and its (classes,) float32 probabilities."""


def table(out: TextIO, classes: Sequence[str], answers: Answers, width: int) -> None:
    """Write aligned columns: path, class, its probability.

    Args:
        out: Where to.
        classes: Names of the probabilities.
        answers: What was found.
        width: Of the longest path.
    """
    wide = max(map(len, (*classes, "class")))
    heading = f"{'path':<{width}}  {'class':<{wide}}  probability\n"
    rows = (
        f"{path:<{width}}  {classes[int(row.argmax())]:<{wide}}  {row.max():.4f}\n"
        for path, row in answers
    )
    out.writelines(chain([heading], rows))


def as_csv(out: TextIO, classes: Sequence[str], answers: Answers, width: int = 0) -> None:
    """Write CSV: path, class, its probability, one column per class."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("path", "class", "probability", *classes))
    for path, row in answers:
        shown = [f"{value:.9g}" for value in row]  # nine digits hold a float32 exactly
        best = int(row.argmax())
        writer.writerow((path, classes[best], shown[best], *shown))


def as_json(out: TextIO, classes: Sequence[str], answers: Answers, width: int = 0) -> None:
    """Write a JSON list of objects: path, class, its probability, probabilities by class."""
    out.write("[")
    out.writelines(_objects(classes, answers))
    out.write("\n]\n")


def _objects(classes: Sequence[str], answers: Answers) -> Iterator[str]:
    before = "\n"
    for path, row in answers:
        values = [_number(value) for value in row]
        best = int(row.argmax())
        found = {
            "path": path,
            "class": classes[best],
            "probability": values[best],
            "probabilities": dict(zip(classes, values, strict=True)),
        }
        yield before + json.dumps(found)
        before = ",\n"


def _number(value: np.floating) -> float | None:
    """Return a float32 as JSON shows it; JSON has no NaN."""
    return float(f"{value:.9g}") if math.isfinite(value) else None


FORMATS: dict[str, Callable[..., None]] = {"table": table, "csv": as_csv, "json": as_json}
