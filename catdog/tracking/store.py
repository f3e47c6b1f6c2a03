"""Opens the MLflow store and its experiment; creates runs and finds them again."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow.exceptions import MlflowException

from catdog.core import interrupts, paths
from catdog.errors import ConfigError
from catdog.tracking import owners
from catdog.tracking.past_run import StoredRun
from catdog.tracking.run import Run


class Tracker:
    """One MLflow store and one experiment in it.

    Args:
        uri: MLflow's tracking URI; None takes the environment variable MLFLOW_TRACKING_URI, else
            the SQLite file ``<root>/mlruns/mlflow.db``.
        experiment: Name of the experiment, which is created if it is new.
        root: Project root.

    Attributes:
        uri: Address of the MLflow store.
        experiment: Name of the experiment.
        experiment_id: MLflow's id of the experiment.
        client: MLflow's client.

    Raises:
        ConfigError: the MLflow store does not answer, or the experiment was deleted.
    """

    def __init__(self, *, uri: str | None, experiment: str, root: Path) -> None:
        self.uri = paths.store(uri, root)
        self.experiment = experiment
        local = self.uri.startswith("sqlite:")
        # of two runs that start together only one may create the tables and the experiment
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
        # beside the database: MLflow would take the current folder
        artifacts = paths.sqlite_file(self.uri).parent / "artifacts"
        location = artifacts.resolve().as_uri() if local else None
        try:
            return self.client.create_experiment(name, artifact_location=location)
        except MlflowException:  # another machine has created it
            found = self.client.get_experiment_by_name(name)
            if found is None:
                raise
            return found.experiment_id

    def start(self, name: str, tags: Mapping[str, str]) -> Run:
        """Create a run that this process owns, with system metrics; it is RUNNING until it ends.

        Before, runs of this host are ended whose process is dead.

        Args:
            name: Name of the run.
            tags: Its tags.
        """
        self._end_dead_runs()
        run = self.create(name, {**tags, owners.OWNER: owners.this_process()})
        run.watch_system()
        return run

    @contextlib.contextmanager
    def recorded(self, name: str, tags: Mapping[str, str]) -> Iterator[Run]:
        """Start a run, yield it, and end it: FINISHED, or FAILED or KILLED by an exception."""
        run, finished = None, False
        try:
            with interrupts.deferred():  # a run that is created is known here, and ended
                run = self.start(name, tags)
            yield run
            with interrupts.deferred():
                run.end("FINISHED")
                finished = True
        except BaseException as error:
            if run is not None and not finished:  # Ctrl-C in the last moment takes nothing back
                with interrupts.deferred():
                    run.fail(error)
            raise

    def create(self, name: str, tags: Mapping[str, str]) -> Run:
        """Create a run without an owner tag; it is RUNNING until it is ended."""
        made = self.client.create_run(self.experiment_id, run_name=name, tags=dict(tags))
        return Run(self.client, made.info.run_id, made.info.artifact_uri, self.uri)

    def open(self, run_id: str) -> Run:
        """Return an existing run, whatever its status, to read from or log more to.

        Raises:
            MlflowException: there is no such run.
        """
        info = self.client.get_run(run_id).info
        return Run(self.client, run_id, info.artifact_uri, self.uri)

    def get(self, run_id: str) -> StoredRun | None:
        """Return the state of a run, or None if there is no run with this id."""
        try:
            return StoredRun.of(self.client.get_run(run_id))
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def find(self, tags: Mapping[str, str], *, running: bool = False) -> list[StoredRun]:
        """Return the experiment's runs that have all these tags, the latest first.

        Args:
            tags: Names and values.
            running: Whether to return only runs with the status RUNNING.
        """
        terms = ["attributes.status = 'RUNNING'"] if running else []
        # MLflow's filters have no escape for quotes; such a value is compared below
        plain = {key: value for key, value in tags.items() if not {"'", "\\"} & set(value)}
        terms += [f"tags.`{key}` = '{value}'" for key, value in plain.items()]
        found = map(StoredRun.of, self.search(" AND ".join(terms)))
        return [run for run in found if tags.items() <= run.tags.items()]

    def search(self, filter_string: str) -> Iterator[mlflow.entities.Run]:
        """Yield the experiment's runs that match a filter in MLflow's syntax, the latest first."""
        token: str | None = "" if self.experiment_id else None
        while token is not None:
            page = self.client.search_runs(
                [self.experiment_id], filter_string, page_token=token or None
            )
            yield from page
            token = page.token or None

    @property
    def shown_uri(self) -> str:
        """The address of the MLflow store without its password."""
        return paths.without_password(self.uri)

    def how_to_browse(self, run_id: str) -> str:
        """Return what to do to see a run in the MLflow UI: a command and an address, or only that.

        Args:
            run_id: MLflow's id of the run.
        """
        page = f"/#/experiments/{self.experiment_id}/runs/{run_id}"
        if self.uri.startswith("http"):
            return self.uri.rstrip("/") + page
        command = f"{_program('mlflow')} ui --backend-store-uri {shlex.quote(self.uri)}"
        return f"{command}\nhttp://127.0.0.1:5000{page}"

    def _end_dead_runs(self) -> None:
        """End the RUNNING runs of this host whose owner is dead; nothing else would end them."""
        here = f"tags.`{owners.OWNER}` LIKE '{owners.host_prefix()}%'"
        running = self.client.search_runs(
            [self.experiment_id], f"attributes.status = 'RUNNING' AND {here}"
        )
        for run in running:
            if not owners.living(run.data.tags):
                self.client.set_terminated(run.info.run_id, status="KILLED")


class _ReadOnly(Tracker):
    """A tracker that creates no experiment; the id of one that does not exist is empty."""

    def _experiment(self, name: str, local: bool) -> str:
        exists = self.client.get_experiment_by_name(name) is not None
        return super()._experiment(name, local) if exists else ""


def open_store(uri: str | None, experiment: str) -> Tracker:
    """Open an MLflow store for reading; nothing is created in it.

    Args:
        uri: MLflow's tracking URI; None means the one that a training without it would use.
        experiment: Name of the experiment; if it does not exist, ``experiment_id`` is empty.

    Raises:
        ConfigError: the MLflow store does not exist or does not answer.
    """
    address = paths.store(uri, paths.root())
    if address.startswith("sqlite:///") and not paths.sqlite_file(address).is_file():
        found = "no run was logged there yet"
        raise ConfigError("tracking.uri", address, found, "python -m catdog.train")
    return _ReadOnly(uri=address, experiment=experiment, root=paths.root())


def _program(name: str) -> str:
    """Return the command for a program of this environment, even if that is not activated."""
    beside = Path(sys.executable).parent / name
    if shutil.which(name) or not beside.exists():
        return name
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def _creation_lock(uri: str) -> FileLock:
    database = paths.sqlite_file(uri)
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{database}.lock")
    except OSError as error:
        raise ConfigError(
            "tracking.uri", uri, f"cannot be written ({error.strerror})", "tracking.uri=<store>"
        ) from None
