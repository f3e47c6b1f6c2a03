"""Finds runs and studies by name or by a unique prefix, a run's objective, and its equals."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catdog.errors import SHOWN
from catdog.tracking import names
from catdog.tracking.past_run import StoredRun
from catdog.tracking.store import Tracker

MIN_PREFIX = 4
"""Least number of characters of a prefix of a run's id."""

KINDS = ("run", "trial")
"""Runs of these kinds train a model."""

LARGEST = 1e308
"""MLflow's databases keep 1.8e308 in place of infinity."""

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


def diverged(run: Any) -> bool:
    """Return whether a run's loss became infinite or NaN; its model, if any, is of no use.

    Earlier versions went on and saved such a model. Its accuracy is the share of the first class,
    and may be the highest of all.

    Args:
        run: MLflow's entity of the run.
    """
    loss = run.data.metrics.get("best/val_loss", 0.0)
    return names.DIVERGED in run.data.tags or not abs(loss) < LARGEST


def has_diverged(run_id: str, tracker: Tracker) -> bool:
    """Return whether the run with an id diverged; False if there is no such run."""
    known = re.fullmatch("[0-9a-f]{32}", run_id) and tracker.get(run_id)
    return bool(known) and diverged(tracker.client.get_run(run_id))


def objective_of(tracker: Tracker, run: Any, metric: str) -> float:
    """Return a run's metric at its best epoch, or NaN if it was not logged or the run diverged.

    Args:
        tracker: The MLflow store.
        run: MLflow's entity of the run.
        metric: Name of the metric, such as ``val/loss``.
    """
    logged = run.data.metrics
    if diverged(run):
        return math.nan
    if metric in AT_BEST:
        return float(logged.get(AT_BEST[metric], math.nan))
    history = tracker.client.get_metric_history(run.info.run_id, metric)
    at_best = [point.value for point in history if point.step == logged.get("best/epoch")]
    return float(at_best[0]) if at_best else math.nan


@dataclass(frozen=True)
class Comparable:
    """Runs whose objectives can be compared: they saw the same photos in the same splits.

    Attributes:
        digest: Identity of photos, classes and splits; empty if the runs do not say it.
        metric: Their objective.
        maximize: Whether the largest value is the best.
        runs: MLflow's entities of the runs, the latest first; at least one.
    """

    digest: str
    metric: str
    maximize: bool
    runs: Sequence[Any]

    @property
    def data(self) -> str:
        """The photos in words, such as ``kaggle pets.zip (80/10/10 photos, 1a2b3c4d)``."""
        params: Mapping[str, str] = self.runs[0].data.params
        path = Path(params.get("data.path", "")).name.replace("null", "")
        name = " ".join(filter(None, [params.get("data.name", "photos"), path]))
        counts = [params.get(f"data.photos.{split}", "") for split in ("train", "val", "test")]
        photos = f"{'/'.join(counts)} photos" if all(counts) else ""
        facts = ", ".join(filter(None, [photos, self.digest[:8]]))
        return f"{name} ({facts or 'which, no run says'})"

    @property
    def objective(self) -> str:
        """The objective in words, such as ``the least val/loss``."""
        return f"the {'largest' if self.maximize else 'least'} {self.metric}"

    def means(self, asked: str) -> bool:
        """Return whether a name means these photos.

        Args:
            asked: ``data``, ``data.path``, the last part of it, or the start of the digest.
        """
        if re.fullmatch(f"[0-9a-f]{{{MIN_PREFIX},64}}", asked) and self.digest.startswith(asked):
            return True
        params = self.runs[0].data.params
        path = params.get("data.path", "null")
        known = {params.get("data.name"), path, Path(path).name, str(Path(path).absolute())}
        return asked in known or str(Path(asked).expanduser().absolute()) in known

    def ranked(self, tracker: Tracker) -> list[str]:
        """Return the ids of the runs whose objective is a number, the best first."""
        sign = -1 if self.maximize else 1
        costs = {
            run.info.run_id: sign * objective_of(tracker, run, self.metric) for run in self.runs
        }
        return sorted((one for one in costs if not math.isnan(costs[one])), key=costs.__getitem__)


def comparable(runs: Iterable[Any]) -> list[Comparable]:
    """Return the groups of runs that can be compared, that of the latest run first.

    Args:
        runs: MLflow's entities of runs, the latest first.
    """
    groups: dict[tuple[str, str, bool], list[Any]] = {}
    for run in runs:
        params = run.data.params
        metric = params.get("objective.metric", "val/loss")
        maximize = params.get("objective.direction") == "maximize"
        groups.setdefault((params.get("data.digest", ""), metric, maximize), []).append(run)
    return [Comparable(*key, of) for key, of in groups.items()]


def left_out(
    chosen: Comparable, groups: Sequence[Comparable], tracker: Tracker
) -> tuple[str, ...]:
    """Return a line on what is compared, and one on each other group and how to choose it.

    Args:
        chosen: The group in which the best run is looked for.
        groups: All groups; if there is no other, there is nothing to say.
        tracker: The MLflow store.
    """
    others = [one for one in groups if one is not chosen]
    lines = [f"compared: runs on {chosen.data} for {chosen.objective}"] if others else []
    for one in others[:SHOWN]:
        how = f"--data {one.digest[:8]}"
        if one.digest == chosen.digest or not one.digest:
            how = f"--model {next(iter(one.ranked(tracker)), one.runs[0].info.run_id)[:8]}"
        runs = f"{len(one.runs)} run{'s' if len(one.runs) > 1 else ''}"
        goal = "" if one.objective == chosen.objective else f" for {one.objective}"
        lines.append(f"left out: {runs} on {one.data}{goal}: {how}")
    if more := sum(len(one.runs) for one in others[SHOWN:]):
        lines.append(f"left out: {more} more runs on other photos")
    return tuple(lines)


def of_study(tracker: Tracker, parent: str, found: Sequence[str]) -> list[Comparable]:
    """Return the groups of a study's runs that can be compared; none if it is all of them.

    Args:
        tracker: The MLflow store and experiment.
        parent: Id of the study's run.
        found: Ids of its best runs; what the first one saw is asked of the others.
    """
    if not found or not found[0]:
        return []
    params = tracker.client.get_run(found[0]).data.params
    own = f"tags.`{names.PARENT}` = '{parent}'"
    others = (
        tracker.search(f"{own} AND params.`{key}` != '{params[key]}'")
        for key in ("data.digest", "objective.metric", "objective.direction")
        if key in params
    )
    unequal = any(next(runs, None) is not None for runs in others)
    return comparable(tracker.search(own)) if unequal else []
