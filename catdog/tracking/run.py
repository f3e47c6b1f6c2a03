"""Logs one run to MLflow: in batches, with files written once, and always with an end."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import (
    Dataset,
    DatasetInput,
    LoggedModelInput,
    Metric,
    Param,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.utils.file_utils import local_file_uri_to_path
from optuna_workers import Postponed

from catdog.core import paths
from catdog.errors import DataError
from catdog.mlflow_store.outage import StoreAway
from catdog.tracking import names

BATCH = 1000
"""Largest number of metrics in one call of ``log_batch``, MLflow's limit."""

ENDED = (KeyboardInterrupt, SystemExit, Postponed)
"""What ends a run without its own fault."""

MOST_BYTES = 1 << 30
"""Size up to which an artifact is read as text; a million photos' manifest has 150 MB."""

for name in ("mlflow", "alembic"):
    logging.getLogger(name).setLevel(logging.WARNING)
logging.getLogger("urllib3").setLevel(logging.ERROR)  # every retry is a warning to it
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # a traceback per lock
logging.getLogger("mlflow.system_metrics").setLevel(logging.ERROR)  # its thread ends by an outage


class Run:
    """A run in the MLflow store, to log params, metrics and artifacts to and to end.

    ``Tracker.start``, ``create`` and ``open`` make it.

    Attributes:
        client: MLflow's client.
        run_id: MLflow's id.
        artifact_uri: Address of its artifacts.
        uri: Address of the MLflow store.
    """

    def __init__(
        self, client: mlflow.MlflowClient, run_id: str, artifact_uri: str, uri: str
    ) -> None:
        self.client, self.run_id, self.artifact_uri, self.uri = client, run_id, artifact_uri, uri
        self._metrics: list[Metric] = []
        self._flushed = 0.0
        self._monitor: SystemMetricsMonitor | None = None

    def watch_system(self, *, again: bool = False) -> None:
        """Log system metrics every second until the run ends.

        Args:
            again: Whether to go on with the steps of those that the run has.
        """
        self._monitor = SystemMetricsMonitor(
            self.run_id, sampling_interval=1, tracking_uri=self.uri, resume_logging=again
        )
        self._monitor.start()

    def params(self, values: Mapping[str, Any]) -> None:
        """Log params; None and booleans as YAML writes them."""
        shown = [Param(k, paths.without_password(_as_text(v))) for k, v in values.items()]
        for start in range(0, len(shown), 100):  # MLflow's limit per call
            self.client.log_batch(self.run_id, params=shown[start : start + 100])

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags; nothing is sent if there are none."""
        if values:
            shown = names.without_passwords(values)
            self.client.log_batch(self.run_id, tags=[RunTag(*tag) for tag in shown.items()])

    def drop_tags(self, keys: Iterable[str]) -> None:
        """Remove tags; another process may have removed them already."""
        for key in keys:
            with contextlib.suppress(MlflowException):
                self.client.delete_tag(self.run_id, key)

    def resume(self) -> None:
        """Set the status of an ended run to RUNNING again."""
        self.client.update_run(self.run_id, status="RUNNING")

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Queue metrics of one step; ``flush`` sends them."""
        now = int(time.time() * 1000)
        self._metrics += [Metric(k, float(v), now, step) for k, v in values.items()]

    def flush(self, *, at_most_every: float = 0.0) -> None:
        """Send the queued metrics, unless some were sent within the last ``at_most_every`` s."""
        if time.monotonic() - self._flushed < at_most_every:
            return
        self._flushed = time.monotonic()
        queued, self._metrics = self._metrics, []
        for start in range(0, len(queued), BATCH):
            self.client.log_batch(self.run_id, metrics=queued[start : start + BATCH])
        thread = self._monitor._process if self._monitor else None
        if thread is not None and not thread.is_alive():  # it does not outlast an outage
            self.watch_system(again=True)

    def dataset(self, name: str, digest: str, profile: str, source: str) -> None:
        """Log the data set that the run uses.

        Args:
            name: Its name.
            digest: Its identity; MLflow keeps 36 characters.
            profile: JSON with facts about it.
            source: JSON with where it comes from.
        """
        shown = paths.without_password(source)
        used = Dataset(name, digest[:36], "local", shown, profile=profile)
        for attempt in range(3):
            try:
                return self.client.log_inputs(self.run_id, datasets=[DatasetInput(used, [])])
            except MlflowException as error:  # another trial inserted it at the same time
                if attempt == 2 or not re.search("unique|duplicate", str(error), re.IGNORECASE):
                    raise

    @contextlib.contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """Yield a folder whose files become artifacts under ``name``.

        With artifacts on this disk it is the artifact folder, so that nothing is written twice.
        """
        if (artifacts := self.local_artifacts()) is not None:
            (artifacts / name).mkdir(parents=True, exist_ok=True)
            yield artifacts / name
            return
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch)
            self.client.log_artifacts(self.run_id, scratch, name)

    def has(self, path: str) -> bool:
        """Return whether the run has an artifact, such as ``checkpoints/best.keras``."""
        if (artifacts := self.local_artifacts()) is not None:
            return (artifacts / path).exists()
        return path in self._sizes(path)

    def _sizes(self, path: str) -> dict[str, int | None]:
        """Return the size in bytes, where known, of each artifact in the folder of one."""
        if (artifacts := self.local_artifacts()) is not None and (artifacts / path).is_file():
            return {path: (artifacts / path).stat().st_size}
        folder, _, _ = path.rpartition("/")
        listed = self.client.list_artifacts(self.run_id, folder)
        return {file.path: file.file_size for file in listed}

    def download(self, path: str, folder: Path) -> Path:
        """Download an artifact into a folder and return its file.

        Raises:
            FileNotFoundError: the run has no such artifact.
        """
        if not self.has(path):
            raise FileNotFoundError(f"{path} of run {self.run_id}")
        if (artifacts := self.local_artifacts()) is not None:  # the store may be a read-only one
            return _copied(artifacts / path, folder / path)
        return Path(self.client.download_artifacts(self.run_id, path, str(folder)))

    def text(self, path: str, *, most: int = MOST_BYTES) -> str:
        """Return the content of an artifact as text.

        Args:
            path: The artifact, such as ``config/overrides.yaml``.
            most: Largest size in bytes that is read.

        Raises:
            FileNotFoundError: the run has no such artifact.
            DataError: it is larger.
        """
        size = self._sizes(path).get(path) or 0
        if size > most:
            found = f"has {size:,} bytes; at most {most:,} are read"
            raise DataError(f"{path} of run {self.run_id}", found)
        with tempfile.TemporaryDirectory() as scratch:
            return self.download(path, Path(scratch)).read_bytes().decode("utf-8", "replace")

    def lacks(self, path: str) -> str:
        """Return the words for an artifact that was deleted: of which run, and where it was.

        Args:
            path: The artifact, such as ``checkpoints/best.keras``.
        """
        artifacts = self.local_artifacts()
        place = artifacts / path if artifacts is not None else f"{self.artifact_uri}/{path}"
        return f"run {self.run_id[:8]} has logged {path}, but {place} is not there any more"

    def model_id(self) -> str:
        """Return MLflow's id of the model that was logged from this run, or an empty text."""
        outputs = self.client.get_run(self.run_id).outputs
        models = [one.model_id for one in outputs.model_outputs] if outputs else []
        return next(filter(self._is_there, models), "")

    def _is_there(self, model_id: str) -> bool:
        """Return whether a logged model's files were not deleted, as far as can be seen here."""
        address = self.client.get_logged_model(model_id).artifact_location
        local = address.startswith(("file:", "/"))
        return not local or (Path(local_file_uri_to_path(address)) / "MLmodel").is_file()

    def uses_model_of(self, run_id: str) -> None:
        """Log that this run uses the MLflow model of another one, if that has any."""
        if used := self.__class__(self.client, run_id, "", self.uri).model_id():
            self.client.log_inputs(self.run_id, models=[LoggedModelInput(used)])

    def local_artifacts(self) -> Path | None:
        """Return the run's artifact folder, or None if it is not on this disk."""
        if self.artifact_uri.startswith(("file:", "/")):
            return Path(local_file_uri_to_path(self.artifact_uri))
        return None

    def end(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        if self._monitor:
            self._monitor.finish()
            self._monitor = None
        with contextlib.suppress(MlflowException):  # a store that fails must not hide the error
            self.flush()
        self.client.set_terminated(self.run_id, status=status)

    def fail(self, error: BaseException) -> None:
        """Log the traceback; end the run as FAILED, or KILLED if it was ended and did not fail."""
        text = "".join(traceback.format_exception(error))
        with contextlib.suppress(StoreAway):  # the error counts; the next command ends the run
            with contextlib.suppress(OSError), self.folder("error") as place:
                (place / "traceback.txt").write_text(paths.without_password(text))
            self.end("KILLED" if isinstance(error, ENDED) else "FAILED")


def _copied(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        return Path(shutil.copytree(source, target, dirs_exist_ok=True))
    return Path(shutil.copy2(source, target))


def _as_text(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
