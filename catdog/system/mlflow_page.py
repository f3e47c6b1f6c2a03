"""The page of an experiment's runs in MLflow's UI, with the columns that tell runs apart."""

from __future__ import annotations

import http.client
import json
import time
import urllib.parse
import urllib.request
from typing import Any

from catdog.system import server

VIEW = "catdog"
"""Key and name of the saved view that the experiment opens with; MLflow stores it as a tag."""

COLUMNS = {
    "tags.`best`": 60,
    "metrics.`best/value`": 85,
    "metrics.`best/val_loss`": 100,
    "metrics.`best/val_accuracy`": 130,
    "metrics.`test/accuracy`": 110,
    "params.`optimizer.lr`": 100,
    "params.`head.dropout`": 110,
    "params.`data.name`": 100,
    "tags.`optuna.state`": 110,
}
"""Columns by MLflow's names, and their widths in pixels; ``best/value`` is a sweep's."""

ALL_COLUMNS = {"attributes.`Run Name`": 300, **COLUMNS, "runDateAndNestInfo": 130, "duration": 75}
"""Including the columns that are always shown."""


def of_experiment(url: str, experiment: str) -> str:
    """Return the address of an experiment's runs; save the view with ``COLUMNS`` if need be.

    Args:
        url: Address of the MLflow server, of this machine or another one.
        experiment: Name of the experiment; if it does not exist, or cannot be read without a
            login, ``url`` is returned.
    """
    api = f"{url.rstrip('/')}/api/2.0/mlflow/experiments"
    try:
        query = urllib.parse.urlencode({"experiment_name": experiment})
        found = _call(f"{api}/get-by-name?{query}")["experiment"]
        key, number = f"mlflow.sharedViewState.{VIEW}", found["experiment_id"]
        saved = {tag["key"]: tag["value"] for tag in found.get("tags", [])}
        if not _is_ours(saved.get(key, "")):  # none, or an earlier version's
            tag = {"experiment_id": number, "key": key, "value": _view()}
            _call(f"{api}/set-experiment-tag", tag)
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return url
    # without workflowType MLflow opens its pages for language models
    shown = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
    return f"{url.rstrip('/')}/#/experiments/{number}/runs?{shown}"


def _state() -> dict[str, Any]:
    return {
        "selectedColumns": list(COLUMNS),
        "columnOrder": list(ALL_COLUMNS),
        "columnWidths": ALL_COLUMNS,
    }


def _view() -> str:
    """Return a view as MLflow's page saves it; versions before 3.15 ignore it."""
    now = int(time.time() * 1000)
    return json.dumps({"name": VIEW, "createdAt": now, "state": json.dumps(_state())})


def _is_ours(view: str) -> bool:
    """Return whether a saved view has the columns of this version."""
    try:
        return bool(json.loads(json.loads(view)["state"]) == _state())
    except (ValueError, KeyError, TypeError):
        return False


def _call(url: str, content: dict[str, str] | None = None) -> Any:
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    here = urllib.parse.urlsplit(url).hostname == server.HOST
    opened = server.direct.open if here else urllib.request.urlopen
    with opened(request, timeout=30) as response:
        return json.load(response)
