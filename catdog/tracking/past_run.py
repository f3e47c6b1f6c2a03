"""Reads a logged run back: its state, splits and test predictions."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from catdog.core import paths, tables
from catdog.errors import ConfigError, DataError
from catdog.mlflow_store import relocation
from catdog.tracking import names
from catdog.tracking.run import Run

TRAINED = ("run", "trial")
"""Runs of these kinds train a model, and have logged all artifacts when they are FINISHED."""


@dataclass(frozen=True)
class StoredRun:
    """A run as the MLflow store has it.

    Attributes:
        run_id: MLflow's id, 32 hexadecimal digits.
        status: ``RUNNING``, ``FINISHED``, ``FAILED`` or ``KILLED``.
        tags: All tags.
        profile: The profile that was logged of its data set, such as the names of its ``classes``.
        has_model: Whether an MLflow model was logged from it.
        deleted: Whether it was deleted; MLflow keeps such runs until ``mlflow gc``.
    """

    run_id: str
    status: str
    tags: Mapping[str, str]
    profile: Mapping[str, Any] = field(default_factory=dict)
    has_model: bool = False
    deleted: bool = False

    @classmethod
    def of(cls, run: Any) -> StoredRun:
        """Make it of MLflow's entity of a run."""
        used = run.inputs.dataset_inputs if run.inputs else []
        return cls(
            run.info.run_id,
            run.info.status,
            run.data.tags,
            _profile(used[0].dataset.profile) if used else {},
            has_model=bool(run.outputs and run.outputs.model_outputs),
            deleted=run.info.lifecycle_stage == "deleted",
        )


def _profile(text: str | None) -> dict[str, Any]:
    # the experiment may have runs of others
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        return dict(json.loads(text or "{}"))
    return {}


def at_present(words: Sequence[str], uri: str) -> list[str]:
    """Return a stored run's overrides with a moved project's files where they are now.

    Args:
        words: Overrides.
        uri: Address of the MLflow store that they come from.
    """
    local = uri.startswith("sqlite:")
    return relocation.translated(words, paths.sqlite_file(uri)) if local else list(words)


def splits(run: Run) -> dict[str, str]:
    """Return the split of each photo of a run, by the photo's SHA-256.

    Raises:
        ConfigError: the run was not logged by catdog.
    """
    return {row["sha256"]: row["split"] for row in _rows(run, names.MANIFEST)}


@dataclass(frozen=True)
class TestPredictions:
    """A run's predictions for its test photos.

    Attributes:
        labels: True class by the photo's SHA-256.
        predicted: Predicted class by the photo's SHA-256.

    Example:
        >>> two = TestPredictions({"0a": "cat", "1b": "dog"}, {"0a": "cat", "1b": "cat"})
        >>> two.correct(["0a", "1b"])
        array([ True, False])
    """

    labels: Mapping[str, str]
    predicted: Mapping[str, str]

    def correct(self, photos: Sequence[str]) -> np.ndarray:
        """Return (n,) bool: whether the prediction of each of n photos is correct."""
        return np.array([self.predicted[one] == self.labels[one] for one in photos], bool)


def test_predictions(run: Run) -> TestPredictions:
    """Return the logged predictions of a run for its test photos.

    Raises:
        ConfigError: the run has no predictions.
    """
    hashes = {row["path"]: row["sha256"] for row in _rows(run, names.MANIFEST)}
    rows = _rows(run, names.PREDICTIONS)
    return TestPredictions(
        {hashes[row["path"]]: row["label"] for row in rows},
        {hashes[row["path"]]: row["class"] for row in rows},
    )


def _rows(run: Run, path: str) -> list[dict[str, str]]:
    try:
        return tables.read_rows(_text(run, path))
    except ValueError as error:
        raise DataError(f"{path} of run {run.run_id}", f"cannot be read: {error}") from None


def _text(run: Run, path: str) -> str:
    try:
        return run.text(path)
    except FileNotFoundError:
        raise missing(run, path) from None


def missing(run: Run, path: str) -> ConfigError:
    """Return the error for an artifact that a run does not have, or does not have any more.

    Args:
        run: The run.
        path: The artifact.
    """
    known = StoredRun.of(run.client.get_run(run.run_id))
    if known.status == "FINISHED" and known.tags.get(names.KIND) in TRAINED:
        return ConfigError("RUN", run.run_id, f"{run.lacks(path)}; put it back")
    found = f"the run has no {path}, so it is none that catdog has trained to the end"
    return ConfigError("RUN", run.run_id, found)
