"""Write predictions as a table, CSV or JSON, row by row."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, TextIO

from catdog.core import tables
from catdog.errors import shown

if TYPE_CHECKING:
    import numpy as np

    Predictions = Iterable[tuple[str, np.ndarray]]
    """The name of each photo and its (classes,) float32 probabilities."""


def table(out: TextIO, classes: Sequence[str], predictions: Predictions, width: int) -> None:
    """Write aligned columns: path, predicted class, its probability.

    Args:
        out: The open text file.
        classes: Class names, in the order of the probabilities.
        predictions: The predictions, written as they arrive.
        width: Width of the longest path, in columns of a terminal.

    >>> import sys
    >>> import numpy as np
    >>> table(sys.stdout, ("cat", "dog"), [("a.jpg", np.array([0.1, 0.9]))], width=5)
    path   class  probability
    a.jpg  dog    0.9000
    """
    names = [shown(name) for name in classes]
    class_width = max(map(tables.width, (*names, "class")))
    heading = f"{'path':<{width}}  {'class':<{class_width}}  probability\n"
    rows = (
        f"{tables.padded(shown(path), width)}  "
        f"{tables.padded(names[int(row.argmax())], class_width)}  {row.max():.4f}\n"
        for path, row in predictions
    )
    out.writelines(chain([heading], rows))


def as_csv(out: TextIO, classes: Sequence[str], predictions: Predictions, width: int = 0) -> None:
    """Write CSV: path, predicted class, its probability, one column per class.

    The column of a class called as one of the first three gets `` (class)`` behind its name.

    Args:
        out: The open text file.
        classes: Class names, in the order of the probabilities.
        predictions: The predictions, written as they arrive.
        width: Ignored; all writers take it.

    >>> import sys
    >>> import numpy as np
    >>> as_csv(sys.stdout, ("cat", "dog"), [("a.jpg", np.array([0.25, 0.75]))])
    path,class,probability,cat,dog
    a.jpg,dog,0.75,0.25,0.75
    """
    heading = tables.columns(("path", "class", "probability"), classes)
    tables.write_rows(out, chain([heading], _rows(classes, predictions)))


def as_json(out: TextIO, classes: Sequence[str], predictions: Predictions, width: int = 0) -> None:
    """Write a JSON list of objects: path, predicted class, its probability, all probabilities.

    Args:
        out: The open text file.
        classes: Class names, in the order of the probabilities.
        predictions: The predictions, written as they arrive. NaN becomes ``null``.
        width: Ignored; all writers take it.
    """
    out.write("[")
    out.writelines(_objects(classes, predictions))
    out.write("\n]\n")


FORMATS: dict[str, Callable[..., None]] = {"table": table, "csv": as_csv, "json": as_json}
"""The writers by the name of their format."""


def _rows(classes: Sequence[str], predictions: Predictions) -> Iterator[Sequence[str]]:
    for path, row in predictions:
        digits = [f"{value:.9g}" for value in row]  # nine digits represent a float32 exactly
        best = int(row.argmax())
        yield (path, classes[best], digits[best], *digits)


def _objects(classes: Sequence[str], predictions: Predictions) -> Iterator[str]:
    separator = "\n"
    for path, row in predictions:
        values = [_number(value) for value in row]
        best = int(row.argmax())
        found = {
            "path": path,
            "class": classes[best],
            "probability": values[best],
            "probabilities": dict(zip(classes, values, strict=True)),
        }
        yield separator + json.dumps(found)
        separator = ",\n"


def _number(value: np.floating) -> float | None:
    """Return a float32 as JSON writes it; JSON has no NaN."""
    return float(f"{value:.9g}") if math.isfinite(value) else None
