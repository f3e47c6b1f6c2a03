"""MLflow: the tracking store, runs, models.

``store`` opens it, ``run`` writes one run, ``owners`` says who will end it, ``names`` are all tags
and artifacts. ``past_run`` reads a run back, ``compare`` compares two, ``model_lookup`` finds the
model that a name means, ``registry`` and ``champion`` decide who is served; ``served_model`` and
``logged_model`` are the MLflow model.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from catdog.tracking.store import Tracker, open_store

__all__ = ["Tracker", "open_store"]

# here, because MLflow reads them when it is imported, which any module of this package may do
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing leaves without being asked
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # 7 keep a wrong address 2 minutes


def __getattr__(name: str) -> Any:
    # MLflow takes a second to import, and names and owners need none of it
    if name in __all__:
        from catdog.tracking import store

        return getattr(store, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
