"""A study's run in MLflow: the parent of its trials' runs, with pictures and winner."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from catdog import command, owners, paths, study, study_note
from catdog.errors import ConfigError
from hydra_plugins.optuna_workers import StudyInfo, SweepCallback, TrialInfo

if TYPE_CHECKING:
    from catdog.best import Winner
    from catdog.runs import Run
    from catdog.tracking import Known, Tracker

IDENTITY = "catdog.study_id"
"""Tag of the parent: a study of the same name that is made later gets a parent of its own."""


class StudyRun(SweepCallback):
    """Keeps one run of kind ``sweep`` per study, whichever machines work on it.

    It stays RUNNING while any command works on the study; each command that does so has an owner
    tag on it. Trials find it by ``study.SHARED_PARENT`` and log to runs of their own.
    """

    def __init__(self) -> None:
        self._tracker: Tracker | None = None
        self._lock = threading.Lock()  # trials of several workers end at the same time

    def on_study_start(self, info: StudyInfo) -> dict[str, str]:
        """Create the parent, unless a command that died here has done so."""
        tracker = self._store(info)
        found = tracker.find({"catdog.kind": "sweep", IDENTITY: info.identity})
        if found:
            return {study.SHARED_PARENT: found[0].run_id}
        run = tracker.create(info.name, _tags(info) | _owner())
        run.params(_params(info))
        with run.folder("config") as place:
            (place / "resolved.yaml").write_text(OmegaConf.to_yaml(info.config, resolve=False))
            (place / "overrides.yaml").write_text(OmegaConf.to_yaml(list(info.overrides)))
        return {study.SHARED_PARENT: run.run_id}

    def on_session_start(self, info: StudyInfo) -> None:
        """Make this command one of the parent's owners.

        Raises:
            ConfigError: the parent is not in this store any more.
        """
        tracker, parent = self._store(info), self._parent(info)
        dead = parent.tags.keys() - owners.living(parent.tags).keys()
        run = tracker.open(parent.run_id)
        run.drop_tags(tag for tag in dead if tag.startswith(f"{owners.OWNER}."))
        run.tags(_owner())
        if parent.status != "RUNNING":
            run.resume()

    def on_trial_end(self, info: StudyInfo, trial: TrialInfo) -> None:
        """Bring the parent up to date; end the run of a trial that could not do so itself."""
        with self._lock:
            if trial.state == "FAIL":
                self._bury(info, trial)
            self._log_progress(info)

    def on_study_end(self, info: StudyInfo) -> None:
        """Log the winner and the pictures, and end the parent if nobody else works on it."""
        tracker, parent = self._store(info), self._parent(info)
        run = tracker.open(parent.run_id)
        try:
            self._log_progress(info)
            _Result(tracker, run, info).log()
        finally:
            mine = {owners.OWNER, owners.session()}
            others = owners.living({k: v for k, v in parent.tags.items() if k not in mine})
            run.drop_tags([owners.session()])
            if info.finished or not others:
                run.end(_status(info))

    def _store(self, info: StudyInfo) -> Tracker:
        if self._tracker is None:
            from catdog import tracking

            choice = info.config.tracking
            self._tracker = tracking.Tracker(
                uri=choice.uri, experiment=choice.experiment, root=paths.root()
            )
        return self._tracker

    def _parent(self, info: StudyInfo) -> Known:
        tracker, run_id = self._store(info), info.shared[study.SHARED_PARENT]
        parent = tracker.know(run_id)
        if parent is None or parent.deleted:
            gone = "was deleted" if parent else "is not there"
            raise ConfigError(
                "tracking.uri", tracker.shown_uri,
                f"the MLflow run {run_id} of study {info.name} {gone}",
                "the store that the study was begun with, or another hydra.sweeper.study_name",
            )  # fmt: skip
        return parent

    def _log_progress(self, info: StudyInfo) -> None:
        trials = info.trials()
        run = self._store(info).open(info.shared[study.SHARED_PARENT])
        run.metrics(study.progress(trials, info.directions), len(trials))
        run.flush()

    def _bury(self, info: StudyInfo, trial: TrialInfo) -> None:
        """Give a failed trial an ended run: its process may have died before, or during it."""
        tracker = self._store(info)
        tags = study.child_tags(info.shared, info.name, trial.number)
        known = tracker.find({k: v for k, v in tags.items() if k != study.STATE})
        if not known:
            label = {"catdog.kind": "trial", "hydra.dir": str(trial.directory)}
            made = tracker.create(f"trial {trial.number}: not started", {**tags, **label})
            _end_lost(made, trial)
        for one in known:
            if one.status == "RUNNING":
                _end_lost(tracker.open(one.run_id), trial)


def _end_lost(run: Run, trial: TrialInfo) -> None:
    with run.folder("error") as place:
        (place / "traceback.txt").write_text(trial.error + "\n")
    run.tags({study.STATE: "FAIL"})
    run.end("KILLED")


def _owner() -> dict[str, str]:
    return {owners.OWNER: owners.mine(), owners.session(): owners.mine()}


def _tags(info: StudyInfo) -> dict[str, str]:
    from catdog.origin import commit

    state = commit(paths.root())
    return {
        "catdog.kind": "sweep",
        "catdog.command": command.typed(),
        "catdog.commit": state.sha,
        "catdog.dirty": str(state.dirty).lower() if state.sha else "",
        "mlflow.note.content": study_note.write(info, command.typed()),
        "mlflow.source.name": "catdog.train",
        "hydra.dir": str(info.directory),
        study.STUDY: info.name,
        IDENTITY: info.identity,
    }


def _params(info: StudyInfo) -> dict[str, Any]:
    choices = info.config.hydra.runtime.choices
    return {
        **{f"space.{name}": text for name, text in info.space.items()},
        "fixed": " ".join(info.overrides),
        "sampler": choices["hydra/sweeper/sampler"],
        "pruner": choices["hydra/sweeper/pruner"],
        "objective.metric": info.config.objective.metric,
        "storage": paths.without_password(info.storage),
    }


def _status(info: StudyInfo) -> str:
    """Return FINISHED, FAILED (too many trials did) or KILLED (slots are left: it can go on)."""
    states = [trial.state for trial in info.trials()]
    allowed = info.config.hydra.sweeper.max_failure_rate * info.n_trials
    if states.count("FAIL") > allowed or (states and set(states) == {"FAIL"}):
        return "FAILED"
    return "FINISHED" if info.finished or info.stopped else "KILLED"


class _Result:
    """What a study has found so far, for its run."""

    def __init__(self, tracker: Tracker, run: Run, info: StudyInfo) -> None:
        from catdog import study_plots

        self._tracker, self._run, self._info = tracker, run, info
        self._study = study_plots.copied(info.load())
        self._trials: Sequence[Any] = info.load().get_trials(deepcopy=False)
        self._winners = study.best(self._trials, info.directions)
        self._metrics = [str(info.config.objective.metric)]
        self._metrics += [f"value {i}" for i in range(2, len(info.directions) + 1)]

    def log(self) -> None:
        """Log table, pictures, winner and description."""
        from catdog import best

        winners = [self._winner(trial) for trial in self._winners]
        with self._run.folder("sweep") as place:
            study.write_csv(place / "trials.csv", self._trials, self._info.directions)
            if winners:
                best.write(place / "best.yaml", self._info.name, winners)
            self._draw(place)
        if len(winners) == 1:
            self._run.tags(_winner_tags(winners[0]))
            self._log_model(winners[0].run_id)
        note = study_note.write(self._info, command.typed(), winners, self._metrics[0])
        self._run.tags({"mlflow.note.content": note})

    def _draw(self, place: Path) -> None:
        from catdog import pages, plots, study_plots

        study_plots.draw(place, self._study, self._metrics)
        points = study.points(self._trials, [trial.number for trial in self._winners])
        if not points:
            return
        shown: dict[str, Any] = {
            "points": points,
            "metric": self._metrics[0],
            "maximize": self._info.directions[0] == "maximize",
            "title": f"{self._info.name}: learning rate and result",
        }
        plots.lr_vs_loss_png(place / "lr_vs_loss.png", **shown)
        pages.lr_vs_loss_html(place / "lr_vs_loss.html", **shown)

    def _winner(self, trial: Any) -> Winner:
        from catdog.best import Winner
        from catdog.origin import Origin

        twin = trial.user_attrs.get("duplicate_of")
        ran = trial if twin is None else self._trials[twin]
        overrides = [command.absolute(one) for one in ran.user_attrs.get("overrides", [])]
        return Winner(
            trial=ran.number,
            run_id=ran.user_attrs.get(study.RUN_ID, ""),
            values=trial.values,
            params=dict(trial.params),
            command=Origin(overrides=overrides).command,
            overrides=overrides,
        )

    def _log_model(self, run_id: str) -> None:
        """Log the winner's MLflow model, which trials leave out."""
        from catdog import logged_model

        known = self._tracker.know(run_id) if run_id else None
        wanted = self._info.config.tracking.log_model == "auto"
        if wanted and known and not known.has_model and not known.deleted:
            classes = known.profile["classes"]
            logged_model.log_from_artifacts(self._tracker.open(run_id), classes)


def _winner_tags(winner: Winner) -> Mapping[str, str]:
    params = " ".join(f"{name}={value}" for name, value in winner.params.items())
    return {
        "best.trial": str(winner.trial),
        "best.run_id": winner.run_id,
        "best.params": params,
        "best.command": winner.command,
    }
