"""Finds runs and studies by name or by a unique prefix, and a run's objective."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection
from typing import Any

from catdog.errors import SHOWN
from catdog.tracking import names
from catdog.tracking.past_run import StoredRun
from catdog.tracking.store import Tracker

MIN_PREFIX = 4
"""Least number of characters of a prefix of a run's id."""

KINDS = ("run", "trial")
"""Runs of these kinds train a model."""

AT_BEST = {"val/loss": "best/val_loss", "val/accuracy": "best/val_accuracy"}
"""Objectives whose value at the best epoch is logged as a metric of its own."""


def ids_with_prefix(prefix: str, tracker: Tracker) -> list[str]:
    """Return the ids of the experiment's runs that start with a prefix.

    Args:
        prefix: 4 to 31 hexadecimal digits; any other text gives an empty list.
        tracker: The MLflow store and experiment.
    """
    if not re.fullmatch(f"[0-9a-f]{{{MIN_PREFIX},31}}", prefix):
        return []
    return [run.info.run_id for run in tracker.search(f"attributes.run_id LIKE '{prefix}%'")]


def studies(tracker: Tracker) -> dict[str, StoredRun]:
    """Return the runs of the experiment's studies by the study's name, the latest first.

    Of several studies with the same name only the latest is returned.
    """
    found: dict[str, StoredRun] = {}
    for run in tracker.find({names.KIND: "sweep"}):
        if name := run.tags.get(names.STUDY):
            found.setdefault(name, run)
    return found


def matching(name: str, known: Collection[str]) -> list[str]:
    """Return the known name that is equal, else all that start with it.

    Example:
        >>> matching("lr", ["lr", "lr-2", "heads"])
        ['lr']
        >>> matching("lr", ["lr-1", "lr-2", "heads"])
        ['lr-1', 'lr-2']
    """
    if name in known:
        return [name]
    return [one for one in known if name and one.startswith(name)]


def meant(name: str, tracker: Tracker) -> dict[str, str]:
    """Return the ids of the runs that a name may mean, by how a person would name each.

    What fits exactly goes before what starts so.

    Args:
        name: A study, the name of a run, a registered model (``catdog``, ``catdog@champion``), or
            a prefix of a study or of a run's id.
        tracker: The MLflow store and experiment.

    Returns:
        None, one, or several if it is ambiguous. A study's own run stands for its best trial.
    """
    sweeps = studies(tracker)
    if name in sweeps:
        return {name: sweeps[name].run_id}
    unsearchable = not name or {"'", "\\"} & set(name)  # MLflow's filters have no escape
    named = iter(()) if unsearchable else tracker.search(f"attributes.run_name = '{name}'")
    runs = [run.info.run_id for run in named if run.data.tags.get(names.KIND) in KINDS]
    if runs:
        return {run_id: run_id for run_id in runs}
    if registered := _registered(name, tracker):
        return {name: registered}
    prefixed = {run_id: run_id for run_id in ids_with_prefix(name, tracker)}
    return prefixed | {one: sweeps[one].run_id for one in matching(name, sweeps)}


def _registered(name: str, tracker: Tracker) -> str:
    """Return the run of a registered model: of an alias, else of the champion, else the latest."""
    model, _, alias = name.partition("@")
    known = [one.name for one in tracker.client.search_registered_models()]
    if model not in known:
        return ""
    versions = tracker.client.search_model_versions(f"name = '{model}'")
    by_alias = tracker.client.get_registered_model(model).aliases
    latest = max((int(one.version) for one in versions), default=0)
    number = int(by_alias.get(alias or "champion", 0 if alias else latest))
    return next((one.run_id or "" for one in versions if int(one.version) == number), "")


def nearest(name: str, tracker: Tracker) -> list[str]:
    """Return the names that one was probably meant to be: of studies, runs, registered models."""
    runs = [run.info.run_name or "" for run in tracker.search("")]
    models = [one.name for one in tracker.client.search_registered_models()]
    known = dict.fromkeys([*studies(tracker), *models, *runs])
    return difflib.get_close_matches(name, known, n=SHOWN, cutoff=0.5)


def objective_of(tracker: Tracker, run: Any, metric: str) -> float:
    """Return a run's metric at its best epoch, or NaN if it was not logged.

    Args:
        tracker: The MLflow store.
        run: MLflow's entity of the run.
        metric: Name of the metric, such as ``val/loss``.
    """
    logged = run.data.metrics
    if metric in AT_BEST:
        return float(logged.get(AT_BEST[metric], math.nan))
    history = tracker.client.get_metric_history(run.info.run_id, metric)
    at_best = [point.value for point in history if point.step == logged.get("best/epoch")]
    return float(at_best[0]) if at_best else math.nan
