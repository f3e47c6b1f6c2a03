"""A sweep callback that logs a study's run: the parent of its trials' runs."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from optuna_workers import Postponed, StudyInfo, SweepCallback, TrialInfo
from optuna_workers.masking import without_passwords

from catdog.cli import console, typed
from catdog.core import paths
from catdog.errors import ConfigError
from catdog.mlflow_store import outage
from catdog.study import note, results
from catdog.study.results import Result
from catdog.study.trials import progress
from catdog.tracking import names, owners

if TYPE_CHECKING:
    from catdog.tracking import Tracker
    from catdog.tracking.past_run import StoredRun
    from catdog.tracking.run import Run


class StudyRun(SweepCallback):
    """Logs one run of kind ``sweep`` per study, however many machines work on the study.

    The run is RUNNING while any command works on the study; each such command sets an owner tag on
    it. Trials receive its id as ``names.SHARED_PARENT`` and log to runs of their own.
    """

    def __init__(self) -> None:
        self._tracker: Tracker | None = None
        self._lock = threading.Lock()  # trials of several workers end at the same time

    def on_study_start(self, info: StudyInfo) -> dict[str, str]:
        """Create the run, unless an earlier command that was killed has created it.

        Returns:
            ``names.SHARED_PARENT`` and the run's id, for callbacks and trials.
        """
        tracker = self._store(info)
        found = tracker.find({names.KIND: "sweep", names.STUDY_ID: info.identity})
        if found:
            return {names.SHARED_PARENT: found[0].run_id}
        run = tracker.create(info.name, _tags(info) | _owner())
        run.params(_params(info))
        with run.folder("config") as place:
            (place / "resolved.yaml").write_text(_yaml(info.config))
            (place / "overrides.yaml").write_text(_yaml(OmegaConf.create(list(info.overrides))))
        return {names.SHARED_PARENT: run.run_id}

    def on_session_start(self, info: StudyInfo) -> None:
        """Make this command an owner of the run, drop owners that are dead, name the objectives.

        Raises:
            ConfigError: the run is not in this MLflow store any more.
        """
        tracker, parent = self._store(info), self._parent(info)
        dead = parent.tags.keys() - owners.living(parent.tags).keys()
        run = tracker.open(parent.run_id)
        run.drop_tags(tag for tag in dead if tag.startswith(f"{owners.OWNER}."))
        run.tags(_owner())
        console.Console().note("Starting the trials; each worker loads TensorFlow first ...")
        if parent.status != "RUNNING":
            run.resume()
        results.name_objectives(info)

    def on_trial_end(self, info: StudyInfo, trial: TrialInfo) -> None:
        """Log the study's progress; end the run of a failed trial if its process did not."""
        with self._lock:
            if trial.state == "POSTPONED":
                outage.STORE.give_up()  # the trial has waited for it already
            if trial.state in ("FAIL", "POSTPONED"):
                self._end_run_of(info, trial)
            self._log_progress(info)

    def on_study_end(self, info: StudyInfo) -> None:
        """Log winner and plots; end the run unless another command works on the study."""
        tracker, parent = self._store(info), self._parent(info)
        run = tracker.open(parent.run_id)
        try:
            self._log_progress(info)
            say = console.Console().note
            say("Logging the study's table and pictures ...")
            result = Result(tracker, run, info)
            result.log()
            for line in note.closing(info, result.trials, tracker.how_to_browse(run.run_id)):
                say(line)
        finally:
            own = {owners.OWNER, owners.session_tag()}
            others = owners.living({k: v for k, v in parent.tags.items() if k not in own})
            run.drop_tags([owners.session_tag()])
            if info.finished or not others:
                run.end(_status(info))

    def _store(self, info: StudyInfo) -> Tracker:
        if self._tracker is None:
            console.Console().note("Opening the MLflow store ...")
            from catdog import tracking

            choice = info.config.tracking
            paths.remember(info.config.hydra.runtime.cwd)
            self._tracker = tracking.Tracker(
                uri=choice.uri, experiment=choice.experiment, root=paths.root()
            )
        return self._tracker

    def _parent(self, info: StudyInfo) -> StoredRun:
        tracker, run_id = self._store(info), info.shared[names.SHARED_PARENT]
        parent = tracker.get(run_id)
        if parent is None or parent.deleted:
            state = "was deleted" if parent else "is not there"
            raise ConfigError(
                "tracking.uri", tracker.shown_uri,
                f"the MLflow run {run_id} of study {info.name} {state}",
                "the MLflow store that the study started with, or another "
                "hydra.sweeper.study_name",
            )  # fmt: skip
        return parent

    def _log_progress(self, info: StudyInfo) -> None:
        trials = info.trials()
        run = self._store(info).open(info.shared[names.SHARED_PARENT])
        run.metrics(progress(trials, info.directions), len(trials))
        run.flush()

    def _end_run_of(self, info: StudyInfo, trial: TrialInfo) -> None:
        """Make sure that a failed trial has a run and that it is ended.

        The trial's process may have died before it created its run, or during the run.
        """
        tracker = self._store(info)
        tags = names.child_tags(info.shared, info.name, trial.number)
        known = tracker.find({k: v for k, v in tags.items() if k != names.STATE})
        if not known:
            label = {names.KIND: "trial", names.HYDRA_DIR: str(trial.directory)}
            name = names.trial_name(trial.number, trial.params)
            made = tracker.create(f"{name}: not started", {**tags, **label})
            _end_lost(made, trial)
        for one in known:
            if one.status == "RUNNING":
                _end_lost(tracker.open(one.run_id), trial)


def _end_lost(run: Run, trial: TrialInfo) -> None:
    with run.folder("error") as place:
        (place / "traceback.txt").write_text(paths.without_password(trial.error) + "\n")
    run.tags({names.STATE: "FAIL"})
    run.end("KILLED")


def _yaml(config: Any) -> str:
    held = without_passwords(OmegaConf.to_container(config, resolve=False))
    return OmegaConf.to_yaml(OmegaConf.create(held))


def _owner() -> dict[str, str]:
    return {owners.OWNER: owners.this_process(), owners.session_tag(): owners.this_process()}


def _tags(info: StudyInfo) -> dict[str, str]:
    from catdog.core.provenance import commit

    return {
        names.KIND: "sweep",
        names.COMMAND: typed.command(sys.argv[1:]),
        **names.commit_tags(commit(paths.root())),
        names.NOTE: note.write(info, typed.command(sys.argv[1:])),
        names.SOURCE_NAME: "catdog.train",
        names.HYDRA_DIR: str(info.directory),
        names.STUDY: info.name,
        names.STUDY_ID: info.identity,
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
    """Return FINISHED, FAILED (too many trials failed) or KILLED (it can be continued)."""
    try:
        states = [trial.state for trial in info.trials()]
    except Postponed:  # the study's database is away
        return "KILLED"
    allowed = info.config.hydra.sweeper.max_failure_rate * info.n_trials
    if states.count("FAIL") > allowed or (states and set(states) == {"FAIL"}):
        return "FAILED"
    return "FINISHED" if info.finished or info.stopped else "KILLED"
