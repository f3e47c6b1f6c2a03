"""Logs what a study has found: trials, the best of them, plots, a page, a description."""

from __future__ import annotations

import contextlib
import math
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna_workers import StudyInfo

from catdog.cli import overrides, stored, typed
from catdog.errors import CatdogError
from catdog.plots.scatter import Point
from catdog.plots.trials.rows import Row, Trials
from catdog.study import note, winner
from catdog.study.trials import Trial, best, state_of, write_csv
from catdog.tracking import names, run_lookup

if TYPE_CHECKING:
    from catdog.tracking import Tracker
    from catdog.tracking.run import Run

RATE = "optimizer.lr"


def points(trials: Iterable[Trial], winners: Iterable[int]) -> list[Point]:
    """Return learning rate and objective of each trial that has ended, to plot them.

    Args:
        trials: Trials of the study; those without a learning rate are left out.
        winners: Numbers of the best trials.
    """
    best_numbers = set(winners)
    return [
        Point(
            number=trial.number,
            lr=lr,
            value=_last_value(trial),
            state=state_of(trial),
            best=trial.number in best_numbers,
            params=dict(trial.params),
        )
        for trial in trials
        if (lr := _rate(trial)) is not None and state_of(trial) in ("COMPLETE", "PRUNED", "FAIL")
    ]


def _rate(trial: Trial) -> float | None:
    try:
        lr = float(trial.params[RATE])  # a swept list may hold it as Hydra's text
    except (KeyError, TypeError, ValueError):
        return None
    return lr if math.isfinite(lr) and lr > 0 else None


def _last_value(trial: Any) -> float | None:
    """Return the objective; of a pruned trial the value that it reported last."""
    if trial.values:
        return float(trial.values[0])
    reported = getattr(trial, "intermediate_values", {})
    return float(reported[max(reported)]) if reported else None


def objectives(info: StudyInfo) -> list[str]:
    """Return the name of each objective of a study."""
    others = [f"value {i}" for i in range(2, len(info.directions) + 1)]
    return [str(info.config.objective.metric), *others]


def name_objectives(info: StudyInfo) -> None:
    """Tell Optuna the names of the objectives, which its dashboard shows."""
    study, named = info.load(), objectives(info)
    if study.metric_names != named:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna calls it experimental
            study.set_metric_names(named)


def mark(tracker: Tracker, parent: str, best: Set[str]) -> None:
    """Give the star to the runs of a study's best trials; those that had it before lose it.

    Args:
        tracker: The MLflow store.
        parent: MLflow's id of the study's run.
        best: MLflow's ids of the runs of the best trials.
    """
    found = tracker.find({names.PARENT: parent, names.MARK: names.STAR})
    starred = {run.run_id for run in found}
    for run_id in starred - best:
        tracker.open(run_id).drop_tags([names.MARK])
    for run_id in best - starred:
        tracker.open(run_id).tags({names.MARK: names.STAR})


def rows(trials: Iterable[Any], winners: Iterable[int]) -> list[Row]:
    """Return each trial that has ended, with its learning curve.

    Args:
        trials: Optuna's trials.
        winners: Numbers of the best trials.
    """
    best_numbers = set(winners)
    return [
        Row(
            number=trial.number,
            name=names.trial_name(trial.number, trial.params),
            state=state_of(trial),
            values=_values(trial),
            params=dict(trial.params),
            curve=dict(trial.intermediate_values),
            best=trial.number in best_numbers,
            copied="duplicate_of" in trial.user_attrs,
            seconds=trial.duration.total_seconds() if trial.duration else None,
            run_id=trial.user_attrs.get(names.RUN_ID, ""),
        )
        for trial in trials
        if state_of(trial) in ("COMPLETE", "PRUNED", "FAIL")
    ]


def _values(trial: Any) -> list[float]:
    last = _last_value(trial)
    return list(trial.values or ([] if last is None else [last]))


class Result:
    """What a study has found so far.

    Args:
        tracker: The MLflow store.
        run: The study's run, to which the results are logged.
        info: The study.
    """

    def __init__(self, tracker: Tracker, run: Run, info: StudyInfo) -> None:
        from catdog.plots import study

        self._tracker, self._run, self._info = tracker, run, info
        self._study = study.copied(info.load())
        self._trials: Sequence[Any] = info.load().get_trials(deepcopy=False)
        self._winners = self._best_of_each()
        self._metrics = objectives(info)

    def _best(self, trials: Sequence[Any]) -> list[Any]:
        """Return the best trials; earlier versions counted some whose training diverged."""
        found = best(trials, self._info.directions)
        bad = {trial.number for trial in found if self._has_diverged(trial)}
        return self._best([one for one in trials if one.number not in bad]) if bad else found

    def _has_diverged(self, trial: Any) -> bool:
        run_id = trial.user_attrs.get(names.RUN_ID, "")
        return bool(run_id) and run_lookup.has_diverged(run_id, self._tracker)

    def _best_of_each(self) -> list[Any]:
        """Return the best trials; where trials saw other photos, the best on each of them."""
        found = self._best(self._trials)
        runs = [self._run_of(one) for one in found]
        groups = run_lookup.of_study(self._tracker, self._run.run_id, runs)
        each = [{one.info.run_id for one in group.runs} for group in groups]
        of_each = [[one for one in self._trials if self._run_of(one) in ids] for ids in each]
        several = [one for own in of_each for one in self._best(own)]
        return several if len(several) > 1 else found

    def _source(self, trial: Any) -> Any:
        """Return the trial that gave a trial its values: itself, or the one that it repeats."""
        original = trial.user_attrs.get("duplicate_of")
        return trial if original is None else self._trials[original]

    def _run_of(self, trial: Any) -> str:
        """Return the id of the run that gave a trial its values."""
        return str(self._source(trial).user_attrs.get(names.RUN_ID, ""))

    @property
    def trials(self) -> list[int]:
        """Numbers of the best trials."""
        return [trial.number for trial in self._winners]

    def log(self) -> None:
        """Log the table of trials, the plots, the winner with its model, and the description."""
        winners = [self._winner(trial) for trial in self._winners]
        with self._run.folder("sweep") as place:
            write_csv(place / "trials.csv", self._trials, self._info.directions)
            if winners:
                winner.write(place / "best.yaml", self._info.name, winners)
            self._draw(place)
            self._draw_trials(place, winners)
        mark(self._tracker, self._run.run_id, {one.run_id for one in winners if one.run_id})
        if len(winners) == 1:
            self._run.tags(_winner_tags(winners[0]))
            self._log_model(winners[0].run_id)
        text = note.write(self._info, typed.command(sys.argv[1:]), winners, self._metrics[0])
        self._run.tags({names.NOTE: text})

    def _draw(self, place: Path) -> None:
        from catdog.plots import html, png, study

        study.draw(place, self._study, self._metrics)
        drawn = points(self._trials, [trial.number for trial in self._winners])
        if not drawn:
            return
        shown: dict[str, Any] = {
            "points": drawn,
            "metric": self._metrics[0],
            "maximize": self._info.directions[0] == "maximize",
            "title": f"{self._info.name}: learning rate and result",
        }
        png.lr_vs_loss_png(place / "lr_vs_loss.png", **shown)
        html.lr_vs_loss_html(place / "lr_vs_loss.html", **shown)

    def _draw_trials(self, place: Path, winners: Sequence[winner.Winner]) -> None:
        """Draw the learning curves, the repeats, and the page that shows all trials."""
        from catdog.plots.trials import curves, page, repeats

        best_numbers = [trial.number for trial in self._winners]
        told = rows(self._trials, best_numbers)
        shown = Trials(self._info.name, self._metrics, self._info.directions, told)
        curves.draw(place / "learning_curves.png", shown)
        if settings := repeats.repeated(shown):
            repeats.write_csv(place / "repeats.csv", settings)
            repeats.draw(place / "repeats.png", shown, settings)
        served = self._tracker.uri.startswith("http")
        page.write(
            place / "study.html", shown, settings,
            facts=note.facts(self._info, winners, self._metrics[0]),
            runs=self._tracker.how_to_browse(page.RUN_ID).splitlines()[-1],
            hint="" if served else "Links to MLflow open while python -m catdog.ui runs.",
        )  # fmt: skip

    def _winner(self, trial: Any) -> winner.Winner:
        from catdog.core.provenance import Provenance

        ran = self._source(trial)
        given = ran.user_attrs.get("overrides", [])
        own = set(self._info.overrides)  # of this command; the rest comes from the database
        kept = [one for one in given if one in own or not stored.complaint(one)]
        run_id = ran.user_attrs.get(names.RUN_ID, "")
        if overrides.foreign(given) and run_id:  # its run names what the user's files say
            with contextlib.suppress(CatdogError):
                kept = stored.of_run(self._tracker.open(run_id))
        words = [typed.absolute(one) for one in kept]
        return winner.Winner(
            trial=ran.number,
            run_id=run_id,
            values=trial.values,
            params=dict(trial.params),
            command=Provenance(overrides=words).command,
            overrides=words,
        )

    def _log_model(self, run_id: str) -> None:
        """Log the winner's MLflow model, which trials leave out."""
        from catdog.tracking import logged_model

        known = self._tracker.get(run_id) if run_id else None
        wanted = self._info.config.tracking.log_model == "auto"
        if wanted and known and not known.has_model and not known.deleted:
            classes = known.profile["classes"]
            logged_model.log_from_artifacts(self._tracker.open(run_id), classes)


def _winner_tags(best: winner.Winner) -> Mapping[str, str]:
    params = " ".join(f"{name}={value}" for name, value in best.params.items())
    return {
        names.MARK: names.trial_name(best.trial, {}),
        names.BEST_TRIAL: str(best.trial),
        names.BEST_RUN: best.run_id,
        names.BEST_PARAMS: params,
        names.BEST_COMMAND: best.command,
    }
