"""Logs one run to MLflow: in batches, with files written once, and always with an end."""

from __future__ import annotations

import contextlib
import logging
import re
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

from catdog.core.patience import StoreAway

BATCH = 1000
"""Largest number of metrics in one call of ``log_batch``, MLflow's limit."""

ENDED = (KeyboardInterrupt, SystemExit, Postponed)
"""What ends a run without its own fault."""

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
        shown = [Param(key, _as_text(value)) for key, value in values.items()]
        for start in range(0, len(shown), 100):  # MLflow's limit per call
            self.client.log_batch(self.run_id, params=shown[start : start + 100])

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags; nothing is sent if there are none."""
        if values:
            self.client.log_batch(self.run_id, tags=[RunTag(k, v) for k, v in values.items()])

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
        used = Dataset(name, digest[:36], "local", source, profile=profile)
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
        folder, _, _ = path.rpartition("/")
        return path in {file.path for file in self.client.list_artifacts(self.run_id, folder)}

    def download(self, path: str, folder: Path) -> Path:
        """Download an artifact into a folder and return its file.

        Raises:
            FileNotFoundError: the run has no such artifact.
        """
        if not self.has(path):
            raise FileNotFoundError(f"{path} of run {self.run_id}")
        return Path(self.client.download_artifacts(self.run_id, path, str(folder)))

    def text(self, path: str) -> str:
        """Return the content of an artifact as text.

        Raises:
            FileNotFoundError: the run has no such artifact.
        """
        with tempfile.TemporaryDirectory() as scratch:
            return self.download(path, Path(scratch)).read_text("utf-8", "replace")

    def model_id(self) -> str:
        """Return MLflow's id of the model that was logged from this run; empty if none was."""
        outputs = self.client.get_run(self.run_id).outputs
        return outputs.model_outputs[0].model_id if outputs and outputs.model_outputs else ""

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
                (place / "traceback.txt").write_text(text)
            self.end("KILLED" if isinstance(error, ENDED) else "FAILED")


def _as_text(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
