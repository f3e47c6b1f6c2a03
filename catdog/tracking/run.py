"""A run in MLflow: logged to in batches, its files written once, always ended."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
import time
import traceback
import warnings
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

BATCH = 1000
"""Most metrics in one log_batch call, MLflow's own limit."""

for name in ("mlflow", "alembic"):
    logging.getLogger(name).setLevel(logging.WARNING)
logging.getLogger("urllib3").setLevel(logging.ERROR)  # every retry is a warning to it


class Run:
    """One run: parameters, metrics, artifacts, and its end."""

    def __init__(
        self, client: mlflow.MlflowClient, run_id: str, artifact_uri: str, uri: str
    ) -> None:
        self.client, self.run_id, self.artifact_uri = client, run_id, artifact_uri
        self._uri = uri
        self._metrics: list[Metric] = []
        self._flushed = 0.0
        self._monitor: SystemMetricsMonitor | None = None

    def watch_system(self) -> None:
        """Log system metrics every second until the run ends."""
        self._monitor = SystemMetricsMonitor(
            self.run_id, sampling_interval=1, tracking_uri=self._uri
        )
        self._monitor.start()

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters; lists and null are shown as YAML would."""
        shown = [Param(key, _as_text(value)) for key, value in values.items()]
        for start in range(0, len(shown), 100):  # MLflow's limit per call
            self.client.log_batch(self.run_id, params=shown[start : start + 100])

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags, if there are any."""
        if values:
            self.client.log_batch(self.run_id, tags=[RunTag(k, v) for k, v in values.items()])

    def drop_tags(self, keys: Iterable[str]) -> None:
        """Remove tags that the run has; another process may have been quicker."""
        for key in keys:
            with contextlib.suppress(MlflowException):
                self.client.delete_tag(self.run_id, key)

    def resume(self) -> None:
        """Make an ended run RUNNING again."""
        self.client.update_run(self.run_id, status="RUNNING")

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Queue metrics; ``flush`` sends them."""
        now = int(time.time() * 1000)
        self._metrics += [Metric(k, float(v), now, step) for k, v in values.items()]

    def flush(self, *, at_most_every: float = 0.0) -> None:
        """Send queued metrics, unless the last time was less than so many seconds ago."""
        if time.monotonic() - self._flushed < at_most_every:
            return
        self._flushed = time.monotonic()
        queued, self._metrics = self._metrics, []
        for start in range(0, len(queued), BATCH):
            self.client.log_batch(self.run_id, metrics=queued[start : start + BATCH])

    def dataset(self, name: str, digest: str, profile: str, source: str) -> None:
        """Tell MLflow which data set this run used; profile and source are JSON."""
        used = Dataset(name, digest[:36], "local", source, profile=profile)
        for attempt in range(3):
            try:
                return self.client.log_inputs(self.run_id, datasets=[DatasetInput(used, [])])
            except MlflowException as error:  # its insert lost the race with another trial's
                if attempt == 2 or not re.search("unique|duplicate", str(error), re.IGNORECASE):
                    raise

    @contextlib.contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """Yield a folder whose files become artifacts under ``name``.

        With a local store it is the artifact folder itself, so that nothing is written twice.
        """
        if (place := self.local_artifacts()) is not None:
            (place / name).mkdir(parents=True, exist_ok=True)
            yield place / name
            return
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch)
            self.client.log_artifacts(self.run_id, scratch, name)

    def has(self, path: str) -> bool:
        """Return whether the run has an artifact of this name."""
        folder, _, _ = path.rpartition("/")
        return path in {file.path for file in self.client.list_artifacts(self.run_id, folder)}

    def download(self, path: str, folder: Path) -> Path:
        """Fetch an artifact into a folder; return its file.

        Raises:
            FileNotFoundError: the run has none of this name.
        """
        if not self.has(path):
            raise FileNotFoundError(f"{path} of run {self.run_id}")
        return Path(self.client.download_artifacts(self.run_id, path, str(folder)))

    def text(self, path: str) -> str:
        """Return the content of an artifact.

        Raises:
            FileNotFoundError: the run has none of this name.
        """
        with tempfile.TemporaryDirectory() as scratch:
            return self.download(path, Path(scratch)).read_text("utf-8", "replace")

    def model_id(self) -> str:
        """Return MLflow's id of the model that was logged from this run, or nothing."""
        outputs = self.client.get_run(self.run_id).outputs
        return outputs.model_outputs[0].model_id if outputs and outputs.model_outputs else ""

    def uses_model_of(self, run_id: str) -> None:
        """Tell MLflow that this run is about the model that another one logged, if any."""
        if used := self.__class__(self.client, run_id, "", self._uri).model_id():
            self.client.log_inputs(self.run_id, models=[LoggedModelInput(used)])

    def local_artifacts(self) -> Path | None:
        """Return the run's artifact folder if it is on this machine's disk."""
        if self.artifact_uri.startswith(("file:", "/")):
            return Path(local_file_uri_to_path(self.artifact_uri))
        return None

    def log_model(self, parts: Mapping[str, Path], code: Path, outputs: list[str]) -> str:
        """Log a pyfunc model from code around files; return its URI.

        Args:
            parts: Files that the code finds in ``context.artifacts``.
            code: The Python file that MLflow will run.
            outputs: Column names of its answer, float32 each.
        """
        mlflow.set_tracking_uri(self._uri)
        outputs_only = mlflow.models.ModelSignature(
            outputs=mlflow.types.Schema([mlflow.types.ColSpec("float", name) for name in outputs])
        )
        # it asks for type hints and input examples, which an outputs-only signature replaces, and
        # sets filters of its own
        with warnings.catch_warnings(record=True):
            # pyfunc.log_model is this call without run_id: it logs to the thread's "active" run;
            # and without model_id it puts the model in MLflow's default experiment
            logged = mlflow.models.Model.log(
                artifact_path=None,
                name="model",
                flavor=mlflow.pyfunc,
                run_id=self.run_id,
                model_id=self._new_model(),
                python_model=str(code),
                artifacts={name: str(path) for name, path in parts.items()},
                signature=outputs_only,
                pip_requirements=requirements(),
            )
        self._share_files(logged.model_id, parts)
        return logged.model_uri

    def _new_model(self) -> str:
        run = self.client.get_run(self.run_id)
        made = self.client.create_logged_model(
            run.info.experiment_id, "model", self.run_id, params=run.data.params
        )
        return made.model_id

    def _share_files(self, model_id: str, parts: Mapping[str, Path]) -> None:
        """Make the model's copy of a file the same file on disk, where both are local."""
        uri = self.client.get_logged_model(model_id).artifact_location
        if not uri.startswith(("file:", "/")):
            return
        for copy in Path(local_file_uri_to_path(uri)).rglob("*.keras"):
            for path in parts.values():
                if path.name == copy.name and path.stat().st_dev == copy.stat().st_dev:
                    copy.unlink()
                    os.link(path, copy)

    def end(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        if self._monitor:
            self._monitor.finish()
        with contextlib.suppress(MlflowException):  # a broken store must not hide the error
            self.flush()
        self.client.set_terminated(self.run_id, status=status)

    def fail(self, error: BaseException) -> None:
        """End the run as KILLED if a person or the system wanted it so, else as FAILED."""
        text = "".join(traceback.format_exception(error))
        with contextlib.suppress(OSError), self.folder("error") as place:
            (place / "traceback.txt").write_text(text)
        self.end("KILLED" if isinstance(error, (KeyboardInterrupt, SystemExit)) else "FAILED")


def requirements() -> list[str]:
    """Return the served model's requirements: given, because inferring them costs 10 s a run."""
    from importlib.metadata import version

    names = ("tensorflow", "keras", "numpy", "pandas", "pillow")
    return [f"mlflow=={mlflow.__version__}", *(f"{name}=={version(name)}" for name in names)]


def _as_text(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
