"""The MLflow store: its experiment, its runs made safely and found again."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
from filelock import FileLock
from mlflow.exceptions import MlflowException

from catdog.core import paths
from catdog.errors import ConfigError
from catdog.tracking import owners
from catdog.tracking.run import Run


@dataclass(frozen=True)
class StoredRun:
    """A run as the store has it.

    Attributes:
        run_id: MLflow's.
        status: ``RUNNING``, ``FINISHED``, ``FAILED`` or ``KILLED``.
        tags: All its tags.
        profile: What was told of its data set, such as its ``classes``.
        has_model: Whether an MLflow model was logged from it.
        deleted: Whether it lies in MLflow's trash.
    """

    run_id: str
    status: str
    tags: Mapping[str, str]
    profile: Mapping[str, Any] = field(default_factory=dict)
    has_model: bool = False
    deleted: bool = False


class Tracker:
    """One MLflow store and one experiment in it.

    Args:
        uri: Tracking URI. Null takes MLFLOW_TRACKING_URI, else ``<root>/mlruns/mlflow.db``.
        experiment: Name; created if it is new.
        root: Project root. A SQLite store's artifacts go to ``artifacts`` beside its file.

    Raises:
        ConfigError: the store does not answer, or the experiment was deleted.
    """

    def __init__(self, *, uri: str | None, experiment: str, root: Path) -> None:
        self.uri = paths.store(uri, root)
        self.experiment = experiment
        local = self.uri.startswith("sqlite:")
        # creating tables and experiment is a race that two runs started together would lose
        with _creation_lock(self.uri) if local else contextlib.nullcontext():
            try:
                self.client = mlflow.MlflowClient(self.uri)
                self.experiment_id = self._experiment(experiment, local)
            except (MlflowException, OSError) as error:
                reason = str(error).splitlines()[0].rsplit("Caused by ", 1)[-1][:300]
                raise ConfigError(
                    "tracking.uri", self.shown_uri, f"the MLflow store cannot be used: {reason}",
                    "tracking.uri=sqlite:////tmp/mlflow.db",
                ) from None  # fmt: skip

    def _experiment(self, name: str, local: bool) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "deleted":
            raise ConfigError(
                "tracking.experiment", name, "this experiment was deleted",
                "tracking.experiment=<another name>",
            )  # fmt: skip
        if found is not None:
            return found.experiment_id
        # MLflow's own choice would be the current folder
        beside = paths.sqlite_file(self.uri).parent / "artifacts"
        place = beside.resolve().as_uri() if local else None
        try:
            return self.client.create_experiment(name, artifact_location=place)
        except MlflowException:  # another machine was quicker
            found = self.client.get_experiment_by_name(name)
            if found is None:
                raise
            return found.experiment_id

    def start(self, name: str, tags: Mapping[str, str]) -> Run:
        """Create a run, RUNNING until it is ended; end those that dead processes left so."""
        self._end_dead_runs()
        run = self.create(name, {**tags, owners.OWNER: owners.this_process()})
        run.watch_system()
        return run

    @contextlib.contextmanager
    def recorded(self, name: str, tags: Mapping[str, str]) -> Iterator[Run]:
        """Yield a started run that is ended whatever happens."""
        run = self.start(name, tags)
        try:
            yield run
        except BaseException as error:
            run.fail(error)
            raise
        run.end("FINISHED")

    def create(self, name: str, tags: Mapping[str, str]) -> Run:
        """Create a run, RUNNING until it is ended, whose owners are the caller's business."""
        made = self.client.create_run(self.experiment_id, run_name=name, tags=dict(tags))
        return Run(self.client, made.info.run_id, made.info.artifact_uri, self.uri)

    def open(self, run_id: str) -> Run:
        """Return a run to log more to, whatever its status.

        Raises:
            MlflowException: there is no such run.
        """
        info = self.client.get_run(run_id).info
        return Run(self.client, run_id, info.artifact_uri, self.uri)

    def get(self, run_id: str) -> StoredRun | None:
        """Return what the store has of a run, or None if it has none of this id."""
        try:
            return _known(self.client.get_run(run_id))
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def find(self, tags: Mapping[str, str], *, running: bool = False) -> list[StoredRun]:
        """Return the experiment's runs that have all these tags, the latest first."""
        asked = ["attributes.status = 'RUNNING'"] if running else []
        # MLflow's language has no escape for quotes; such a value is compared below
        plain = {key: value for key, value in tags.items() if not {"'", "\\"} & set(value)}
        asked += [f"tags.`{key}` = '{value}'" for key, value in plain.items()]
        found = map(_known, self.search(" AND ".join(asked)))
        return [run for run in found if tags.items() <= run.tags.items()]

    def search(self, asked: str) -> Iterator[mlflow.entities.Run]:
        """Yield the experiment's runs that fit a filter of MLflow's, the latest first."""
        token: str | None = "" if self.experiment_id else None
        while token is not None:
            page = self.client.search_runs([self.experiment_id], asked, page_token=token or None)
            yield from page
            token = page.token or None

    @property
    def shown_uri(self) -> str:
        """The store's address without a password."""
        return paths.without_password(self.uri)

    def how_to_browse(self, run_id: str) -> str:
        """Return the command, or only the address, that opens a run in the MLflow UI."""
        page = f"/#/experiments/{self.experiment_id}/runs/{run_id}"
        if self.uri.startswith("http"):
            return self.uri.rstrip("/") + page
        command = f"{_program('mlflow')} ui --backend-store-uri {shlex.quote(self.uri)}"
        return f"{command}\nhttp://127.0.0.1:5000{page}"

    def _end_dead_runs(self) -> None:
        """End RUNNING runs of this host whose process is gone: nobody else can any more."""
        here = f"tags.`{owners.OWNER}` LIKE '{owners.host_prefix()}%'"
        running = self.client.search_runs(
            [self.experiment_id], f"attributes.status = 'RUNNING' AND {here}"
        )
        for run in running:
            if not owners.living(run.data.tags):
                self.client.set_terminated(run.info.run_id, status="KILLED")


class _ReadOnly(Tracker):
    """A store in which nothing is created; an experiment that is not there has no id."""

    def _experiment(self, name: str, local: bool) -> str:
        there = self.client.get_experiment_by_name(name) is not None
        return super()._experiment(name, local) if there else ""


def open_store(uri: str | None, experiment: str) -> Tracker:
    """Return a store to look into, in which nothing is created.

    Args:
        uri: MLflow's tracking URI; null means the one that a training without it would use.
        experiment: If there is none of this name, the tracker's ``experiment_id`` is empty.

    Raises:
        ConfigError: there is no such store, or it does not answer.
    """
    address = paths.store(uri, paths.root())
    if address.startswith("sqlite:///") and not paths.sqlite_file(address).is_file():
        said = "no run was logged there yet"
        raise ConfigError("tracking.uri", address, said, "python -m catdog.train")
    return _ReadOnly(uri=address, experiment=experiment, root=paths.root())


def _known(run: mlflow.entities.Run) -> StoredRun:
    used = run.inputs.dataset_inputs if run.inputs else []
    profile = _profile(used[0].dataset.profile) if used else {}
    logged = bool(run.outputs and run.outputs.model_outputs)
    gone = run.info.lifecycle_stage == "deleted"
    return StoredRun(run.info.run_id, run.info.status, run.data.tags, profile, logged, gone)


def _program(name: str) -> str:
    """Return how to call a program of this environment, which need not be activated."""
    beside = Path(sys.executable).parent / name
    if shutil.which(name) or not beside.exists():
        return name
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def _profile(text: str | None) -> dict[str, Any]:
    with contextlib.suppress(ValueError, TypeError):  # others' runs may lie in the experiment
        return dict(json.loads(text or "{}"))
    return {}


def _creation_lock(uri: str) -> FileLock:
    database = paths.sqlite_file(uri)
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{database}.lock")
    except OSError as error:
        raise ConfigError(
            "tracking.uri", uri, f"cannot be written ({error.strerror})", "tracking.uri=<store>"
        ) from None
