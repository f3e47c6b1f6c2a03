"""The MLflow model around a run's ``best.keras``: logged by a run itself, or by a sweep's parent.

Imports no TensorFlow: the parent of a sweep has none.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from catdog.core import paths
from catdog.tracking.names import CHECKPOINT
from catdog.tracking.run import Run


def log(run: Run, saved: Path, classes: Sequence[str]) -> None:
    """Log the MLflow model of a run.

    Args:
        run: The run that trained it.
        saved: The run's ``best.keras``.
        classes: Names of the columns that the model answers with.
    """
    with tempfile.TemporaryDirectory() as scratch:
        names = Path(scratch) / "classes.json"
        names.write_text(json.dumps(list(classes)))
        parts = {
            "model": saved,
            "classes": names,
            # by path: imported, they would load TensorFlow
            "decode": paths.PACKAGE / "features" / "decode.py",
            "formats": paths.PACKAGE / "data" / "formats.py",
        }
        run.log_model(parts, paths.PACKAGE / "tracking" / "served_model.py", list(classes))


def log_from_artifacts(run: Run, classes: Sequence[str]) -> None:
    """Log the MLflow model of a run that has ended, on whichever machine it ran.

    Raises:
        FileNotFoundError: the run saved no model.
    """
    place = run.local_artifacts()
    if place is not None and (place / CHECKPOINT).is_file():
        log(run, place / CHECKPOINT, classes)  # one file on disk is then shared by run and model
        return
    with tempfile.TemporaryDirectory() as scratch:
        log(run, run.download(CHECKPOINT, Path(scratch)), classes)
