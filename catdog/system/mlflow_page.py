"""The page of an experiment's runs in MLflow's UI, with the columns that tell runs apart."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from catdog.system import server

VIEW = "catdog"
"""Key and name of the saved view that the experiment opens with; MLflow stores it as a tag."""

COLUMNS = {
    "metrics.`best/value`": 95,
    "metrics.`best/val_loss`": 100,
    "metrics.`best/val_accuracy`": 130,
    "metrics.`test/accuracy`": 110,
    "params.`optimizer.lr`": 100,
    "params.`head.dropout`": 110,
    "params.`data.name`": 100,
    "tags.`optuna.state`": 110,
}
"""Columns by MLflow's names, and their widths in pixels; ``best/value`` is a sweep's."""

ALL_COLUMNS = {"attributes.`Run Name`": 340, "runDateAndNestInfo": 130, "duration": 75, **COLUMNS}
"""Including the columns that are always shown."""


def of_experiment(url: str, experiment: str) -> str:
    """Return the address of an experiment's runs; save the view with ``COLUMNS`` if need be.

    Args:
        url: Address of the MLflow server.
        experiment: Name of the experiment; if it does not exist, ``url`` is returned.
    """
    api = f"{url}/api/2.0/mlflow/experiments"
    try:
        query = urllib.parse.urlencode({"experiment_name": experiment})
        found = _call(f"{api}/get-by-name?{query}")["experiment"]
    except urllib.error.HTTPError:
        return url
    key, number = f"mlflow.sharedViewState.{VIEW}", found["experiment_id"]
    if key not in [tag["key"] for tag in found.get("tags", [])]:
        tag = {"experiment_id": number, "key": key, "value": _view()}
        _call(f"{api}/set-experiment-tag", tag)
    # without workflowType MLflow opens its pages for language models
    shown = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
    return f"{url}/#/experiments/{number}/runs?{shown}"


def _view() -> str:
    """Return a view as MLflow's page saves it; versions before 3.15 ignore it."""
    state = {
        "selectedColumns": list(COLUMNS),
        "columnOrder": list(ALL_COLUMNS),
        "columnWidths": ALL_COLUMNS,
    }
    now = int(time.time() * 1000)
    return json.dumps({"name": VIEW, "createdAt": now, "state": json.dumps(state)})


def _call(url: str, content: dict[str, str] | None = None) -> Any:
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with server.direct.open(request, timeout=30) as response:
        return json.load(response)
