"""Logs the MLflow model around a run's ``best.keras``: by the run itself, or by its study's run.

Imports no TensorFlow, since the process of a sweep loads none.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import mlflow
from mlflow.utils.file_utils import local_file_uri_to_path

from catdog.core import paths
from catdog.mlflow_store.outage import STORE, fault_of
from catdog.tracking.names import CHECKPOINT
from catdog.tracking.run import Run

REQUIREMENTS = ("tensorflow", "keras", "numpy", "pandas", "pillow")
"""Packages that the served model needs, beside MLflow."""


def log(run: Run, saved: Path, classes: Sequence[str]) -> None:
    """Log the MLflow model of a run: a pyfunc from code, without pickle.

    Args:
        run: The run that trained it.
        saved: The run's ``best.keras``.
        classes: Names of the classes; the columns of the model's output.
    """
    with tempfile.TemporaryDirectory() as scratch:
        names = Path(scratch) / "classes.json"
        names.write_text(json.dumps(list(classes)))
        files = {
            "model": saved,
            "classes": names,
            # by path: importing them would load TensorFlow
            "decode": paths.PACKAGE / "features" / "decode.py",
            "formats": paths.PACKAGE / "data" / "formats.py",
        }
        _share_files(run, _log_pyfunc(run, files, classes), files)


def log_from_artifacts(run: Run, classes: Sequence[str]) -> None:
    """Log the MLflow model of a run that has ended, on this machine or another one.

    Args:
        run: The run that trained it.
        classes: Names of the classes.

    Raises:
        FileNotFoundError: the run saved no model.
    """
    folder = run.local_artifacts()
    if folder is not None and (folder / CHECKPOINT).is_file():
        log(run, folder / CHECKPOINT, classes)  # run and model then share one file on disk
        return
    with tempfile.TemporaryDirectory() as scratch:
        log(run, run.download(CHECKPOINT, Path(scratch)), classes)


def _log_pyfunc(run: Run, files: Mapping[str, Path], classes: Sequence[str]) -> str:
    """Log the model and return MLflow's id of it; its code finds the files as artifacts."""
    mlflow.set_tracking_uri(run.uri)
    model_id = _new_model(run)
    columns = mlflow.types.Schema([mlflow.types.ColSpec("float", name) for name in classes])
    # it asks for type hints and input examples, which an outputs-only signature replaces, and
    # sets filters of its own
    with warnings.catch_warnings(record=True):
        # pyfunc.log_model is this call without run_id: it logs to the thread's "active" run; and
        # without model_id it puts the model into MLflow's default experiment
        logged = STORE.outlast(
            lambda: mlflow.models.Model.log(
                artifact_path=None,
                name="model",
                flavor=mlflow.pyfunc,
                run_id=run.run_id,
                model_id=model_id,
                python_model=str(paths.PACKAGE / "tracking" / "served_model.py"),
                artifacts={name: str(path) for name, path in files.items()},
                signature=mlflow.models.ModelSignature(outputs=columns),
                pip_requirements=_requirements(),
            ),
            fault_of,
        )
    return logged.model_id


def _new_model(run: Run) -> str:
    info = run.client.get_run(run.run_id)
    made = run.client.create_logged_model(
        info.info.experiment_id, "model", run.run_id, params=info.data.params
    )
    return made.model_id


def _requirements() -> list[str]:
    """Return the model's requirements; MLflow would need 10 s a run to infer them."""
    others = (f"{name}=={version(name)}" for name in REQUIREMENTS)
    return [f"mlflow=={mlflow.__version__}", *others]


def _share_files(run: Run, model_id: str, files: Mapping[str, Path]) -> None:
    """Replace the model's copy of the checkpoint by a hard link, where both are on this disk."""
    uri = run.client.get_logged_model(model_id).artifact_location
    if not uri.startswith(("file:", "/")):
        return
    for copy in Path(local_file_uri_to_path(uri)).rglob("*.keras"):
        for path in files.values():
            if path.name == copy.name and path.stat().st_dev == copy.stat().st_dev:
                copy.unlink()
                os.link(path, copy)
