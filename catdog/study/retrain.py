"""Trains a study's best trials again on several seeds, and chooses the settings by the mean.

The value of the best trial is the best of many noisy ones, so it is too optimistic. Further seeds
show how good its settings are.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from catdog.cli import choices, console, stored
from catdog.core import commands
from catdog.core.provenance import Provenance
from catdog.errors import CatdogError, ConfigError, listed
from catdog.study.winner import parent_run_of
from catdog.tracking import Tracker, names, run_lookup


@dataclass(frozen=True)
class Retrained:
    """A trial's settings, trained on several seeds.

    Attributes:
        trial: Optuna's number of the trial.
        before: The trial's own objective.
        values: The objective for each seed.
        runs: MLflow's ids of the runs, in the same order.

    Example:
        >>> again = Retrained("7", 0.03, [0.04, 0.06], ["a1", "b2"])
        >>> round(again.mean, 3), round(again.spread, 3)
        (0.05, 0.014)
    """

    trial: str
    before: float
    values: Sequence[float]
    runs: Sequence[str]

    @property
    def mean(self) -> float:
        """Mean objective over the seeds."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float:
        """Sample standard deviation over the seeds; 0 for one seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0


@dataclass(frozen=True)
class RetrainResult:
    """What retraining found.

    Attributes:
        metric: Name of the objective.
        again: Each trial's settings on several seeds.
        settings: Those with the best mean objective.
        run_id: The run of these settings with the best objective.
    """

    metric: str
    again: Sequence[Retrained]
    settings: Retrained
    run_id: str


def best_of(
    name: str, tracker: Tracker, count: int, seeds: int, dry_run: bool
) -> RetrainResult | None:
    """Retrain a study's best trials and choose the run to promote.

    It is the run with the best objective among those of the settings with the best mean objective.
    So settings and seed are chosen on the validation photos, not on the test photos.

    Args:
        name: Name of the study, or a unique prefix of it.
        tracker: The MLflow store and experiment.
        count: Number of trials, at least 1.
        seeds: Number of seeds, at least 1; they are 0, 1, ...
        dry_run: Whether only to say what would be trained.

    Returns:
        What was found; None for a dry run.

    Raises:
        ConfigError: there is no such study, it has no finished trial, or its trials saw
            several data sets.
        DataError: a trial's overrides hold what a store may not say.
        CatdogError: a training failed.
    """
    parent = parent_run_of(name, tracker, "--study")
    ranked = _ranked(name, parent.run_id, tracker)[:count]
    if not ranked:
        raise ConfigError("--study", name, "it has no finished trial")
    metric = ranked[0].data.params.get("objective.metric", "val/loss")
    say = console.Console().note
    again = []
    for run in ranked:
        words = [_words(run, tracker, seed) for seed in range(seeds)]
        for one in words:
            say(f"training: {Provenance(overrides=one).command}")
        if not dry_run:
            again.append(_train(run, words, metric, tracker))
    if dry_run:
        return None
    settings, run_id = choose(again, _sign(ranked[0]))
    return RetrainResult(metric, again, settings, run_id)


def _ranked(name: str, parent: str, tracker: Tracker) -> list[Any]:
    """Return a study's finished trials, the best first."""
    ids = [run.run_id for run in tracker.find({names.PARENT: parent, names.STATE: "COMPLETE"})]
    runs = [tracker.client.get_run(run_id) for run_id in ids]
    if len(groups := run_lookup.comparable(runs)) > 1:
        found = f"its trials cannot be compared: {listed([one.data for one in groups])}"
        raise ConfigError("--study", name, found, f"--run {runs[0].info.run_id[:8]}")
    values = {
        run.info.run_id: run_lookup.objective_of(
            tracker, run, run.data.params.get("objective.metric", "")
        )
        for run in runs
    }
    known = [run for run in runs if not math.isnan(values[run.info.run_id])]
    return sorted(known, key=lambda run: _sign(run) * values[run.info.run_id])


def _sign(run: Any) -> int:
    return -1 if run.data.params.get("objective.direction") == "maximize" else 1


def _words(run: Any, tracker: Tracker, seed: int) -> list[str]:
    """Return the overrides of a trial on another seed, in the same store."""
    now = {"seed": seed, "tracking.experiment": tracker.experiment}
    kept = stored.of_run(tracker.open(run.info.run_id), {*now, stored.STORE})
    words = [commands.override(key, value) for key, value in now.items()]
    return [*choices.still_used(kept), *words]


def _train(run: Any, words: Sequence[list[str]], metric: str, tracker: Tracker) -> Retrained:
    made = [_one(overrides, tracker) for overrides in words]
    for one in made:
        tracker.open(one.info.run_id).tags({names.RETRAINED: run.info.run_id})
    return Retrained(
        run.data.tags.get(names.TRIAL, ""),
        run_lookup.objective_of(tracker, run, metric),
        [run_lookup.objective_of(tracker, one, metric) for one in made],
        [one.info.run_id for one in made],
    )


def _one(overrides: list[str], tracker: Tracker) -> Any:
    """Train in a process of its own with ``catdog.train``; return MLflow's entity of the run."""
    command = {names.COMMAND: Provenance(overrides=overrides).command}
    before = {run.run_id for run in tracker.find(command)}
    ran = subprocess.run(
        [sys.executable, "-m", "catdog.train", *overrides],
        # not as an override: the run's command would contain its password
        env={**os.environ, "MLFLOW_TRACKING_URI": tracker.uri},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    made = [one for one in tracker.find(command) if one.run_id not in before]
    if ran.returncode or not made:
        raise CatdogError(
            f"a training failed (exit code {ran.returncode}): {command[names.COMMAND]}"
        )
    return tracker.client.get_run(made[0].run_id)


def choose(again: Sequence[Retrained], sign: int) -> tuple[Retrained, str]:
    """Return the settings with the best mean, and the id of their run with the best value.

    Args:
        again: Settings on several seeds, at least one.
        sign: 1 to minimise the objective, -1 to maximise it.

    Example:
        >>> lucky = Retrained("3", 0.01, [0.02, 0.30], ["a1", "b2"])
        >>> steady = Retrained("7", 0.12, [0.11, 0.10], ["c3", "d4"])
        >>> settings, run_id = choose([lucky, steady], sign=1)
        >>> settings.trial, run_id
        ('7', 'd4')
    """
    settings = min(again, key=lambda one: sign * one.mean)
    runs = zip(settings.values, settings.runs, strict=True)
    return settings, min(runs, key=lambda pair: sign * pair[0])[1]
