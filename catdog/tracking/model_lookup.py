"""Finds the saved model that ``--model`` names, and what its run has logged of it.

A name is ``best``, a run's id or name, a study, a unique prefix of an id or a study, a registered
model, ``models:/...`` of MLflow's registry, or a ``.keras`` file.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from catdog.core import commands, paths
from catdog.errors import DIVERGED, ConfigError, DataError, listed
from catdog.settings import Tracking
from catdog.tracking import names, store
from catdog.tracking.names import CHECKPOINT
from catdog.tracking.run_lookup import (
    KINDS,
    Comparable,
    comparable,
    diverged,
    left_out,
    meant,
    nearest,
    objective_of,
)
from catdog.tracking.store import MlflowException, Tracker

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundModel:
    """A saved model and what is known of it.

    Attributes:
        path: Its ``.keras`` file on this disk.
        title: Description for messages, such as ``run 69f9ede4, brisk-owl, val/loss 0.0414``.
        classes: Names of its classes; empty if they are unknown.
        tta: ``evaluation.tta`` of the run that trained it.
        run_id: MLflow's id of the run that trained it; empty for a bare file.
        metric: Name of the run's objective; empty for a bare file.
        value: The objective at the best epoch; NaN for a bare file.
        name: Name of the run or the file.
        notes: Of ``best``: what was compared, and what was left out and how to choose it.
    """

    path: Path
    title: str
    classes: tuple[str, ...] = ()
    tta: str = "none"
    run_id: str = ""
    metric: str = ""
    value: float = math.nan
    name: str = ""
    notes: tuple[str, ...] = ()


def resolve(
    name: str,
    *,
    folder: Path,
    uri: str | None = None,
    experiment: str = Tracking().experiment,
    data: str | None = None,
    option: str = "--model",
) -> FoundModel:
    """Find the model that a name means.

    Args:
        name: ``best``, a run's name, its id or a unique prefix of it (at least 4 characters), a
            study's name or a unique prefix of it, a registered model's ``name`` or ``name@alias``,
            ``models:/name@alias``, ``models:/name/version``, ``models:/m-id``, or a ``.keras``
            file.
        folder: Folder to download the file to if the MLflow store is on another machine.
        uri: MLflow's tracking URI; None means the one that a training without it would use.
        experiment: Experiment in which ``best``, prefixes and studies are looked for.
        data: Photos whose runs ``best`` compares: their name, path, or the start of their digest;
            None takes those of the latest run.
        option: Where the name was given, for messages.

    Returns:
        The model; of a study, that of its best trial.

    Raises:
        ConfigError: the name means no model, or the MLflow store does not answer; no run saw the
            photos, or they are named for a model that is not ``best``.
        DataError: there is no such file, or the ``classes.json`` beside it is no list of names.
    """
    if data is not None and name != "best":
        found = f"it says among which runs best is looked for, and the model is {name}"
        raise ConfigError("--data", data, found, "--model best")
    if name.endswith(".keras") or (os.sep in name and not name.startswith("models:/")):
        return _file(paths.expanded(name))
    tracker = store.open_store(uri, experiment)
    try:
        return _Search(name, tracker, folder, data, option).result()
    except MlflowException as error:
        reason = str(error).splitlines()[0][:300]
        found = f"{tracker.shown_uri} answers: {reason}"
        raise ConfigError(
            option, name, found, "--model best" if option == "--model" else ""
        ) from None


def _file(path: Path) -> FoundModel:
    if not path.is_file():
        raise DataError(path, "there is no such file", "--model takes a .keras file, or best")
    beside = path.with_name("classes.json")
    if not beside.is_file():
        return FoundModel(path, str(path), name=path.name)
    try:
        classes = json.loads(beside.read_text())
    except ValueError:
        classes = None
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise DataError(beside, "no JSON list of class names", "Correct it, or give --classes")
    return FoundModel(path, str(path), tuple(classes), name=path.name)


FINISHED = "attributes.status = 'FINISHED'"
TRAIN = "python -m catdog.train"


class _Search:
    """The search for a name in an MLflow store."""

    def __init__(
        self, name: str, tracker: Tracker, folder: Path, data: str | None, option: str
    ) -> None:
        self._name, self._tracker, self._folder = name, tracker, folder
        self._data, self._option = data, option
        self._client = tracker.client
        self._where = f"experiment {tracker.experiment} of {tracker.shown_uri}"

    def result(self) -> FoundModel:
        """Return the model; a complete id or a registered model may be in any experiment."""
        if self._name.startswith("models:/"):
            return self._of_run(self._registered(), f"{self._name}: ")
        if re.fullmatch(r"[0-9a-f]{32}", self._name) and self._tracker.get(self._name):
            return self._of_run(self._name)
        if not self._tracker.experiment_id:
            known = [one.name for one in self._client.search_experiments()]
            found = f"no such experiment in {self._tracker.shown_uri}; there are: {listed(known)}"
            raise ConfigError("tracking.experiment", self._tracker.experiment, found)
        return self._best() if self._name == "best" else self._of_run(self._run_or_best_trial())

    def _best(self) -> FoundModel:
        """Return the best of the runs that saw the same photos and have the same objective."""
        trained = [
            run for run in self._tracker.search(FINISHED) if run.data.tags.get(names.KIND) in KINDS
        ]
        if not trained:
            raise self._refusal(f"{self._where} has no finished run", TRAIN)
        groups = comparable(trained)
        chosen = self._chosen(groups)
        notes = left_out(chosen, groups, self._tracker)
        pruned = {r.info.run_id for r in chosen.runs if r.data.tags.get(names.STATE) == "PRUNED"}
        among = "1 run" if len(chosen.runs) == 1 else f"{len(chosen.runs)} runs"
        for run_id in chosen.ranked(self._tracker):
            run = self._tracker.open(run_id)
            if run.has(CHECKPOINT):
                found = self._of_run(run_id, f"best of {among}: ")
                return replace(found, notes=notes)
            if run_id not in pruned:
                log.warning("not the best: %s", run.lacks(CHECKPOINT))
        of = f" on {chosen.data}" if notes else ""
        raise self._refusal("; ".join([f"no run of {self._where}{of} saved a model", *notes[1:]]))

    def _chosen(self, groups: Sequence[Comparable]) -> Comparable:
        """Return the group of the latest run, or of the latest on the photos asked for."""
        if self._data is None:
            return groups[0]
        for one in groups:
            if one.means(self._data):
                return one
        there = {one.digest: one for one in groups}
        raise ConfigError(
            "--data", self._data,
            f"no finished run of {self._where} saw it; there are: "
            + listed([one.data for one in there.values()]),
            f"--data {groups[0].digest[:8]}",
        )  # fmt: skip

    def _registered(self) -> str:
        """Return the id of the run that trained a registered or logged model."""
        parts = re.fullmatch(r"models:/(?:(m-\w+)|([^/@]+)(?:@([^/@]+)|/(\w+)))", self._name)
        if parts is None:
            raise self._refusal("expected models:/name@alias or models:/name/version")
        logged, name, alias, version = parts.groups()
        if logged:
            run_id = self._client.get_logged_model(logged).source_run_id
        elif alias:
            run_id = self._client.get_model_version_by_alias(name, alias).run_id
        else:
            run_id = self._client.get_model_version(name, version).run_id
        if not run_id:
            raise self._refusal("was registered without the run that trained it")
        return str(run_id)

    def _run_or_best_trial(self) -> str:
        """Return the id of the run, or of the study's own run, that the name means."""
        fitting = meant(self._name, self._tracker)
        if len(fitting) == 1:
            return next(iter(fitting.values()))
        if fitting:
            first, *_ = known = list(fitting)
            shown = f"{len(known)} runs and studies of {self._where} are called or start so: "
            raise self._refusal(shown + listed(known), commands.command(self._option, first))
        near = nearest(self._name, self._tracker)
        hint = f"; the nearest: {listed(near)}" if near else ""
        raise self._refusal(
            f"no run, study, registered model or .keras file of this name; looked in "
            f"{self._where}{hint}",
            commands.command(self._option, near[0] if near else "best"),
        )

    def _best_trial(self, name: str, best_runs: Mapping[str, str]) -> str:
        if not best_runs[name]:
            raise self._refusal(f"study {name} of {self._where} has no single best trial (yet)")
        return best_runs[name]

    def _of_run(self, run_id: str, prefix: str = "") -> FoundModel:
        """Return the model of a run; of a study's run, that of its best trial."""
        known = self._tracker.get(run_id)
        if known is None or known.deleted:
            state = "was deleted" if known else "is not in the MLflow store"
            raise self._refusal(f"run {run_id} {state}")
        if known.tags.get(names.KIND) == "sweep":
            name = known.tags.get(names.STUDY, run_id)
            return self._of_run(
                self._best_trial(name, {name: known.tags.get(names.BEST_RUN, "")}), prefix
            )
        run = self._client.get_run(run_id)
        if diverged(run):
            raise self._refusal(f"run {run_id[:8]} has no model of use: {DIVERGED}")
        metric = run.data.params.get("objective.metric", "val/loss")
        value = objective_of(self._tracker, run, metric)
        shown = f", {metric} {value:.4f}" if value == value else ""
        return FoundModel(
            self._saved(run_id, known.status),
            f"{prefix}run {run_id[:8]}, {run.info.run_name}{shown}",
            tuple(known.profile.get("classes", ())),
            run.data.params.get("evaluation.tta", "none"),
            run_id,
            metric,
            value,
            run.info.run_name,
        )

    def _saved(self, run_id: str, status: str) -> Path:
        """Return a run's model file; download it if it is on another machine."""
        run = self._tracker.open(run_id)
        folder = run.local_artifacts()
        if folder is not None and (folder / CHECKPOINT).is_file():
            return folder / CHECKPOINT
        try:
            return run.download(CHECKPOINT, self._folder)
        except FileNotFoundError:
            tags = self._client.get_run(run_id).data.tags
            if status != "FINISHED" or tags.get(names.STATE) == "PRUNED":
                found = f"run {run_id} ({status.lower()}) saved no model"
                raise self._refusal(found) from None
            raise self._refusal(f"{run.lacks(CHECKPOINT)}; put it back") from None

    def _refusal(self, found: str, fix: str = "") -> ConfigError:
        """Return the error; without the fix if that is what the user has done."""
        fix = fix or ("--model best" if self._option == "--model" else "")
        same = fix == commands.command(self._option, self._name) or fix == self._name
        return ConfigError(self._option, self._name, found, "" if same else fix)
