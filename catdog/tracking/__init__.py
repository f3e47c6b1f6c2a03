"""MLflow: its store, runs and models.

``store`` opens the MLflow store, ``run`` logs one run, ``owners`` says which process will end it,
``names`` has the names of all tags and artifacts. ``run_lookup`` finds runs and studies by name,
``past_run`` reads a run back, ``compare`` compares two, ``model_lookup`` finds the model that a
name means. ``logged_model`` logs the MLflow model, whose code is ``served_model``; ``registry``
registers it, and ``champion`` decides whether it replaces the one in use.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from catdog.tracking.store import Tracker, open_store

__all__ = ["Tracker", "open_store"]

# here, because MLflow reads them when it is imported, which any module of this package may do
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # send no data without being asked to
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # outage.py waits, and says so


def __getattr__(name: str) -> Any:
    # on demand: MLflow takes a second to import, and names and owners do not need it
    if name in __all__:
        from catdog.tracking import store

        return getattr(store, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
