"""What ``--model`` names: a saved model on this disk, and what its run says of it.

A name is ``best``, a run's id or how only it begins, a study, ``models:/...`` of MLflow's
registry, or a ``.keras`` file.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catdog.errors import SHOWN, ConfigError, DataError, listed
from catdog.settings import Tracking
from catdog.tracking import names, store
from catdog.tracking.names import CHECKPOINT
from catdog.tracking.store import MlflowException, StoredRun, Tracker

FINISHED = "attributes.status = 'FINISHED'"
TRAIN = "python -m catdog.train"

KINDS = ("run", "trial")
"""Runs of these kinds train a model."""

AT_BEST = {"val/loss": "best/val_loss", "val/accuracy": "best/val_accuracy"}
"""Objectives whose value at the best epoch is a metric of its own."""

MIN_PREFIX = 4
"""Fewest letters of a run's id that are taken as its beginning."""


@dataclass(frozen=True)
class FoundModel:
    """A saved model and what is known of it.

    Attributes:
        path: Its ``.keras`` file on this disk.
        title: What to call it.
        classes: Names of its outputs; empty if nobody knows them.
        tta: The run's own ``evaluation.tta``.
        run_id: MLflow's id of the run that trained it, or empty.
        metric: The run's objective, or empty.
        value: The objective at the best epoch, or NaN.
        name: The run's, or the file's.
    """

    path: Path
    title: str
    classes: tuple[str, ...] = ()
    tta: str = "none"
    run_id: str = ""
    metric: str = ""
    value: float = math.nan
    name: str = ""


def resolve(
    asked: str,
    *,
    folder: Path,
    uri: str | None = None,
    experiment: str = Tracking().experiment,
) -> FoundModel:
    """Find the model that a name means.

    Args:
        asked: ``best``, a run's id or its beginning, a study's name or its beginning,
            ``models:/name@alias``, ``models:/name/version``, ``models:/m-id``, a ``.keras`` file.
        folder: Where to put the file if it lies in another machine's store.
        uri: MLflow's tracking URI; null means the one that a training without it would use.
        experiment: Where ``best``, beginnings of ids and studies are looked for.

    Raises:
        ConfigError: the name means no model, or the store does not answer.
        DataError: there is no such file.
    """
    if asked.endswith(".keras") or (os.sep in asked and not asked.startswith("models:/")):
        return _file(Path(asked).expanduser())
    tracker = store.open_store(uri, experiment)
    try:
        return _Search(asked, tracker, folder).result()
    except MlflowException as error:
        reason = str(error).splitlines()[0][:300]
        found = f"{tracker.shown_uri} answers: {reason}"
        raise ConfigError("--model", asked, found, "--model best") from None


def ids_with_prefix(letters: str, tracker: Tracker) -> list[str]:
    """Return the ids of the experiment's runs that some letters begin, if they are enough."""
    if not re.fullmatch(f"[0-9a-f]{{{MIN_PREFIX},31}}", letters):
        return []
    return [run.info.run_id for run in tracker.search(f"attributes.run_id LIKE '{letters}%'")]


def studies(tracker: Tracker) -> dict[str, StoredRun]:
    """Return the runs of the experiment's studies by name, the latest first.

    Of several studies with one name the latest counts.
    """
    found: dict[str, StoredRun] = {}
    for run in tracker.find({names.KIND: "sweep"}):
        if name := run.tags.get(names.STUDY):
            found.setdefault(name, run)
    return found


def matching(asked: str, known: Collection[str]) -> list[str]:
    """Return the name that is meant, or all names that begin so.

    >>> matching("lr", ["lr", "lr-2", "heads"]), matching("lr", ["lr-1", "lr-2", "heads"])
    (['lr'], ['lr-1', 'lr-2'])
    """
    if asked in known:
        return [asked]
    return [name for name in known if asked and name.startswith(asked)]


def objective_of(tracker: Tracker, run: Any, metric: str) -> float:
    """Return a run's metric at its best epoch, or NaN."""
    known = run.data.metrics
    if metric in AT_BEST:
        return float(known.get(AT_BEST[metric], math.nan))
    history = tracker.client.get_metric_history(run.info.run_id, metric)
    at_best = [point.value for point in history if point.step == known.get("best/epoch")]
    return float(at_best[0]) if at_best else math.nan


def _file(path: Path) -> FoundModel:
    if not path.is_file():
        raise DataError(path, "there is no such file", "--model wants a .keras file, or best")
    beside = path.with_name("classes.json")
    if not beside.is_file():
        return FoundModel(path, str(path), name=path.name)
    try:
        classes = json.loads(beside.read_text())
    except ValueError:
        classes = None
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise DataError(beside, "no JSON list of class names", "Mend it, or name --classes")
    return FoundModel(path, str(path), tuple(classes), name=path.name)


class _Search:
    """The search for a name in an MLflow store."""

    def __init__(self, asked: str, tracker: Tracker, folder: Path) -> None:
        self._asked, self._tracker, self._folder = asked, tracker, folder
        self._client = tracker.client
        self._where = f"experiment {tracker.experiment} of {tracker.shown_uri}"

    def result(self) -> FoundModel:
        """Return what was asked for; a whole id or a registered model may lie anywhere."""
        if self._asked.startswith("models:/"):
            return self._of_run(self._registered(), f"{self._asked}: ")
        if re.fullmatch(r"[0-9a-f]{32}", self._asked) and self._tracker.get(self._asked):
            return self._of_run(self._asked)
        if not self._tracker.experiment_id:
            there = [one.name for one in self._client.search_experiments()]
            found = f"no such experiment in {self._tracker.shown_uri}; there are: {listed(there)}"
            raise ConfigError("tracking.experiment", self._tracker.experiment, found)
        return self._best() if self._asked == "best" else self._of_run(self._run_or_winner())

    def _best(self) -> FoundModel:
        trained = [
            run for run in self._tracker.search(FINISHED) if run.data.tags.get(names.KIND) in KINDS
        ]
        if not trained:
            raise self._no(f"{self._where} has no finished run", TRAIN)
        objective = trained[0].data.params  # the latest
        metric = objective.get("objective.metric", "val/loss")
        sign = -1 if objective.get("objective.direction") == "maximize" else 1
        costs = {
            run.info.run_id: sign * objective_of(self._tracker, run, metric) for run in trained
        }
        ranked = sorted(
            (id_ for id_, cost in costs.items() if cost == cost), key=costs.__getitem__
        )
        sets = len({run.data.params.get("data.digest") for run in trained})
        among = "1 run" if len(trained) == 1 else f"{len(trained)} runs"
        among += f" on {sets} data sets" if sets > 1 else ""
        for run_id in ranked:
            if self._tracker.open(run_id).has(CHECKPOINT):
                return self._of_run(run_id, f"best of {among}: ")
        raise self._no(f"no run of {self._where} saved a model", TRAIN)

    def _registered(self) -> str:
        """Return the run behind a name in the registry."""
        shape = re.fullmatch(r"models:/(?:(m-\w+)|([^/@]+)(?:@([^/@]+)|/(\w+)))", self._asked)
        if shape is None:
            raise self._no("expected models:/name@alias or models:/name/version")
        logged, name, alias, version = shape.groups()
        if logged:
            run_id = self._client.get_logged_model(logged).source_run_id
        elif alias:
            run_id = self._client.get_model_version_by_alias(name, alias).run_id
        else:
            run_id = self._client.get_model_version(name, version).run_id
        if not run_id:
            raise self._no("was registered without the run that trained it")
        return str(run_id)

    def _run_or_winner(self) -> str:
        """Return the run of this id or beginning, or the winner of the study of this name."""
        found = studies(self._tracker).items()
        winners = {name: run.tags.get(names.BEST_RUN, "") for name, run in found}
        if self._asked in winners:
            return self._winner(self._asked, winners)
        fitting = ids_with_prefix(self._asked, self._tracker) + matching(self._asked, winners)
        if len(fitting) == 1:
            return self._winner(fitting[0], winners) if fitting[0] in winners else fitting[0]
        if fitting:
            raise self._no(f"{len(fitting)} runs and studies of {self._where} begin so: "
                           f"{listed(fitting)}", f"--model {fitting[0]}")  # fmt: skip
        near = difflib.get_close_matches(self._asked, winners, n=SHOWN, cutoff=0.5)
        hint = f"; the nearest study: {listed(near)}" if near else ""
        raise self._no(f"no run, study or .keras file of this name; looked in {self._where}{hint}")

    def _winner(self, name: str, winners: Mapping[str, str]) -> str:
        if not winners[name]:
            raise self._no(f"study {name} of {self._where} has no single best trial (yet)")
        return winners[name]

    def _of_run(self, run_id: str, before: str = "") -> FoundModel:
        """Return the model of a run, or of a study's winner."""
        known = self._tracker.get(run_id)
        if known is None or known.deleted:
            raise self._no(f"run {run_id} {'was deleted' if known else 'is not in the store'}")
        if known.tags.get(names.KIND) == "sweep":
            name = known.tags.get(names.STUDY, run_id)
            return self._of_run(
                self._winner(name, {name: known.tags.get(names.BEST_RUN, "")}), before
            )
        run = self._client.get_run(run_id)
        metric = run.data.params.get("objective.metric", "val/loss")
        value = objective_of(self._tracker, run, metric)
        shown = f", {metric} {value:.4f}" if value == value else ""
        return FoundModel(
            self._saved(run_id, known.status),
            f"{before}run {run_id[:8]}, {run.info.run_name}{shown}",
            tuple(known.profile.get("classes", ())),
            run.data.params.get("evaluation.tta", "none"),
            run_id,
            metric,
            value,
            run.info.run_name,
        )

    def _saved(self, run_id: str, status: str) -> Path:
        """Return a run's model file, fetched if it is on another machine."""
        run, name = self._tracker.open(run_id), CHECKPOINT
        place = run.local_artifacts()
        if place is not None and (place / name).is_file():
            return place / name
        try:
            return run.download(name, self._folder)
        except FileNotFoundError:
            raise self._no(f"run {run_id} ({status.lower()}) saved no model") from None

    def _no(self, found: str, fix: str = "--model best") -> ConfigError:
        return ConfigError("--model", self._asked, found, "" if fix.endswith(self._asked) else fix)
