"""Opens the MLflow store and its experiment; creates runs and finds them again."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from optuna_workers.storage import disks
from optuna_workers.storage.patience import Fault
from sqlalchemy.exc import SQLAlchemyError

from catdog.core import commands, interrupts, paths
from catdog.errors import CatdogError, ConfigError
from catdog.mlflow_store import answers, creation, relocation
from catdog.mlflow_store.outage import STORE, fault_of, lock_of
from catdog.mlflow_store.outage import patient as patient_client
from catdog.tracking import names, owners
from catdog.tracking.past_run import StoredRun
from catdog.tracking.run import Run

log = logging.getLogger(__name__)


class Tracker:
    """One MLflow store and one experiment in it.

    Args:
        uri: MLflow's tracking URI; None takes the environment variable MLFLOW_TRACKING_URI, else
            the SQLite file ``<root>/mlruns/mlflow.db``.
        experiment: Name of the experiment, which is created if it is new.
        root: Project root.
        patient: Whether to wait for a server that does not answer at the start, too: for trials,
            whose sweep has reached it before.

    Attributes:
        uri: Address of the MLflow store.
        experiment: Name of the experiment.
        experiment_id: MLflow's id of the experiment.
        client: MLflow's client.

    Raises:
        ConfigError: the MLflow store does not answer, or the experiment was deleted.
        StoreAway: it is away for too long, or was deleted; every method may raise it.
    """

    judge = staticmethod(fault_of)

    def __init__(
        self, *, uri: str | None, experiment: str, root: Path, patient: bool = False
    ) -> None:
        self.uri = paths.store(uri, root)
        # asked now: MLflow sets the environment's MLFLOW_TRACKING_URI itself later
        self._usual = self.uri == paths.store(None, root)
        paths.remember_address(self.uri)
        if self.shown_uri != self.uri:  # MLflow prints the address of each run, password and all
            os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
        self.experiment = experiment
        local = self.uri.startswith("sqlite:")
        if not patient:
            answers.check(self.uri)
        STORE.name = f"the MLflow store {self.shown_uri}"
        # of two runs that start together only one may create the tables and the experiment
        with self._exclusive() if local else contextlib.nullcontext():
            try:
                self._follow()
                self._open(local, fault_of if patient else lock_of)
            except (MlflowException, SQLAlchemyError, OSError) as error:
                if message := disks.trouble(error, {"tracking.uri": self._database}):
                    raise CatdogError(message) from None
                told = str(error).splitlines()[0].rsplit("Caused by ", 1)[-1][:300]
                reason = paths.without_password(told, of=self.uri)
                raise ConfigError(
                    "tracking.uri", self.shown_uri, f"the MLflow store cannot be used: {reason}",
                    "tracking.uri=sqlite:////tmp/mlflow.db",
                ) from None  # fmt: skip

    def _exclusive(self) -> contextlib.AbstractContextManager[object]:
        return creation.lock(self.uri)

    def _open(self, local: bool, judge: Callable[[Exception], Fault | None]) -> None:
        """Connect, and find the experiment; only what the judge lets pass is waited for."""

        def connect() -> tuple[mlflow.MlflowClient, str]:
            self.client = mlflow.MlflowClient(self.uri)
            return self.client, self._experiment(self.experiment, local)

        client, self.experiment_id = STORE.outlast(connect, judge)
        self.client = patient_client(client, self.judge)

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

    def _follow(self) -> None:
        """Let a store that was moved or copied find, and keep, its artifacts where it is now."""
        if (database := self._database) is None:
            return
        for old in STORE.outlast(lambda: relocation.follow(database), lock_of):
            log.warning(
                "the MLflow store %s was in %s before: the addresses of its artifacts are "
                "rewritten to where they are now", self.shown_uri, old,
            )  # fmt: skip

    @property
    def _database(self) -> Path | None:
        return paths.sqlite_file(self.uri) if self.uri.startswith("sqlite:") else None

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
        self._follow()  # a container may have the same store under another path at the same time
        client: mlflow.MlflowClient = getattr(self.client, "impatient", self.client)
        moment, tries = int(time.time() * 1000), 0
        name, shown = paths.without_password(name), names.without_passwords(tags)

        def make() -> mlflow.entities.Run:
            nonlocal tries
            tries += 1
            if tries > 1:  # it may have been made, and only the answer was lost
                same = f"attributes.start_time = {moment}"
                for run in client.search_runs([self.experiment_id], same):
                    if run.info.run_name == name and shown.items() <= run.data.tags.items():
                        return run
            return client.create_run(
                self.experiment_id, start_time=moment, run_name=name, tags=shown
            )

        made = STORE.outlast(make, self.judge)
        return Run(self.client, made.info.run_id, made.info.artifact_uri, self.uri)

    def open(self, run_id: str) -> Run:
        """Return an existing run, whatever its status, to read from or log more to.

        Raises:
            MlflowException: there is no such run.
        """
        address = self.client.get_run(run_id).info.artifact_uri
        if self._database:
            address = relocation.present(address, self._database)
        return Run(self.client, run_id, address, self.uri)

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
        # without workflowType MLflow opens its pages for language models
        page = f"/#/experiments/{self.experiment_id}/runs/{run_id}?workflowType=machine_learning"
        if self.uri.startswith("http"):
            return self.shown_uri.rstrip("/") + page
        words = [] if self._usual else ["--uri", self.shown_uri]
        command = commands.command("python", "-m", "catdog.ui", *words)
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
    """A tracker that creates no experiment; the id of one that does not exist is empty.

    It waits for nothing but locks: nobody loses anything where a command only reads.
    """

    judge = staticmethod(lock_of)

    def _exclusive(self) -> contextlib.AbstractContextManager[object]:
        try:
            return super()._exclusive()
        except ConfigError:  # it may be read where it cannot be written
            return contextlib.nullcontext()

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
