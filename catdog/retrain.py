"""A study's best trials again, on several seeds: which one is best in the mean?

A trial's value is the best of many noisy ones, so it promises too much. Seeds other than the
trial's own tell how good its settings are.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from catdog import best, command, console, contest, earlier, models, study
from catdog.contest import Again
from catdog.errors import CatdogError, ConfigError
from catdog.origin import Origin
from catdog.tracking import Tracker

RETRAINED = "catdog.retrained"
"""Tag of such runs: the trial's run."""


def best_of(name: str, tracker: Tracker, count: int, seeds: int, dry_run: bool) -> str:
    """Retrain a study's best trials and return the run to promote.

    Of the settings with the best mean objective that is the run with the best objective: seeds and
    settings are chosen on the validation photos.

    Args:
        name: The study's, or its beginning.
        tracker: The store.
        count: How many trials.
        seeds: How many seeds each, from 0 on.
        dry_run: Only say what would be trained; the answer is then empty.

    Raises:
        ConfigError: no such study, or it has no finished trial.
        CatdogError: a training failed.
    """
    parent = best.parent_of(name, tracker)
    ranked = _ranked(parent.run_id, tracker)[:count]
    if not ranked:
        raise ConfigError("--study", name, "it has no finished trial")
    metric = ranked[0].data.params.get("objective.metric", "val/loss")
    say = console.Console().note
    again = []
    for run in ranked:
        words = [_words(run, tracker, seed) for seed in range(seeds)]
        for one in words:
            say(f"training: {Origin(overrides=one).command}")
        if not dry_run:
            again.append(_train(run, words, metric, tracker))
    if dry_run:
        return ""
    settings, run_id = contest.winner(again, _sign(ranked[0]))
    console.retrained(metric, again, settings)
    return run_id


def _ranked(parent: str, tracker: Tracker) -> list[Any]:
    """Return a study's finished trials, the best first."""
    ids = [run.run_id for run in tracker.find({study.PARENT: parent, study.STATE: "COMPLETE"})]
    runs = [tracker.client.get_run(run_id) for run_id in ids]
    values = {
        run.info.run_id: models.objective_of(tracker, run, run.data.params["objective.metric"])
        for run in runs
    }
    known = [run for run in runs if not math.isnan(values[run.info.run_id])]
    return sorted(known, key=lambda run: _sign(run) * values[run.info.run_id])


def _sign(run: Any) -> int:
    return -1 if run.data.params.get("objective.direction") == "maximize" else 1


def _words(run: Any, tracker: Tracker, seed: int) -> list[str]:
    """Return the overrides of a trial on another seed, in the same store."""
    given = earlier.overrides(tracker.open(run.info.run_id))
    now = {"seed": str(seed), "tracking.experiment": f"'{tracker.experiment}'"}
    kept = [word for word in given if command.key_of(word) not in {*now, "tracking.uri"}]
    return [*kept, *(f"{key}={value}" for key, value in now.items())]


def _train(run: Any, words: Sequence[list[str]], metric: str, tracker: Tracker) -> Again:
    made = [_one(overrides, tracker) for overrides in words]
    for one in made:
        tracker.open(one.info.run_id).tags({RETRAINED: run.info.run_id})
    return Again(
        run.data.tags.get(study.TRIAL, ""),
        models.objective_of(tracker, run, metric),
        [models.objective_of(tracker, one, metric) for one in made],
        [one.info.run_id for one in made],
    )


def _one(overrides: list[str], tracker: Tracker) -> Any:
    """Train in a process of its own, as a person would, and return the run."""
    asked = {"catdog.command": Origin(overrides=overrides).command}
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
            f"a training failed (exit code {ran.returncode}): {asked['catdog.command']}"
        )
    return tracker.client.get_run(made[0].run_id)
