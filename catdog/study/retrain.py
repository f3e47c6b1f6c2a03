"""A study's best trials again, on several seeds: which one is best in the mean?

A trial's value is the best of many noisy ones, so it promises too much. Seeds other than the
trial's own tell how good its settings are.
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

from catdog.cli import console
from catdog.cli.overrides import key_of
from catdog.core.provenance import Provenance
from catdog.errors import CatdogError, ConfigError
from catdog.study.winner import parent_run_of
from catdog.tracking import Tracker, names, past_run, run_lookup


@dataclass(frozen=True)
class Retrained:
    """A trial's settings on several seeds.

    Attributes:
        trial: Optuna's number.
        before: The trial's own value.
        values: One per seed.
        runs: MLflow's ids, in the same order.
    """

    trial: str
    before: float
    values: Sequence[float]
    runs: Sequence[str]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds; 0 for one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0


@dataclass(frozen=True)
class RetrainResult:
    """What retraining found.

    Attributes:
        metric: Name of the objective.
        again: The retrained settings, one for each trial.
        settings: The best of them in the mean.
        run_id: Of their runs, the best by the objective.
    """

    metric: str
    again: Sequence[Retrained]
    settings: Retrained
    run_id: str


def best_of(
    name: str, tracker: Tracker, count: int, seeds: int, dry_run: bool
) -> RetrainResult | None:
    """Retrain a study's best trials and choose the run to promote.

    Of the settings with the best mean objective that is the run with the best objective: seeds and
    settings are chosen on the validation photos.

    Args:
        name: The study's, or its beginning.
        tracker: The store.
        count: How many trials.
        seeds: How many seeds each, from 0 on.
        dry_run: Only say what would be trained, and return None.

    Raises:
        ConfigError: no such study, or it has no finished trial.
        CatdogError: a training failed.
    """
    parent = parent_run_of(name, tracker)
    ranked = _ranked(parent.run_id, tracker)[:count]
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


def _ranked(parent: str, tracker: Tracker) -> list[Any]:
    """Return a study's finished trials, the best first."""
    ids = [run.run_id for run in tracker.find({names.PARENT: parent, names.STATE: "COMPLETE"})]
    runs = [tracker.client.get_run(run_id) for run_id in ids]
    values = {
        run.info.run_id: run_lookup.objective_of(tracker, run, run.data.params["objective.metric"])
        for run in runs
    }
    known = [run for run in runs if not math.isnan(values[run.info.run_id])]
    return sorted(known, key=lambda run: _sign(run) * values[run.info.run_id])


def _sign(run: Any) -> int:
    return -1 if run.data.params.get("objective.direction") == "maximize" else 1


def _words(run: Any, tracker: Tracker, seed: int) -> list[str]:
    """Return the overrides of a trial on another seed, in the same store."""
    given = past_run.overrides(tracker.open(run.info.run_id))
    now = {"seed": str(seed), "tracking.experiment": f"'{tracker.experiment}'"}
    kept = [word for word in given if key_of(word) not in {*now, "tracking.uri"}]
    return [*kept, *(f"{key}={value}" for key, value in now.items())]


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
    """Train in a process of its own, as a person would, and return the run."""
    asked = {names.COMMAND: Provenance(overrides=overrides).command}
    before = {run.run_id for run in tracker.find(asked)}
    ran = subprocess.run(
        [sys.executable, "-m", "catdog.train", *overrides],
        # not named, or its password would stand in the run's command
        env={**os.environ, "MLFLOW_TRACKING_URI": tracker.uri},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    made = [one for one in tracker.find(asked) if one.run_id not in before]
    if ran.returncode or not made:
        raise CatdogError(
            f"a training failed (exit code {ran.returncode}): {asked[names.COMMAND]}"
        )
    return tracker.client.get_run(made[0].run_id)


def choose(again: Sequence[Retrained], sign: int) -> tuple[Retrained, str]:
    """Return the settings with the best mean, and of them the run with the best value.

    Args:
        again: At least one.
        sign: 1 to minimise, -1 to maximise.
    """
    settings = min(again, key=lambda one: sign * one.mean)
    runs = zip(settings.values, settings.runs, strict=True)
    return settings, min(runs, key=lambda pair: sign * pair[0])[1]
