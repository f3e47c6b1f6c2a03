"""The groups around training: ``features``, ``evaluation``, ``objective``, ``tracking``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from catdog.settings.validation import Group, number, one_of


@dataclass(frozen=True)
class Features(Group):
    """The feature store, which keeps the outputs of the frozen layers.

    Example:
        >>> Features(dtype="float32").ram_mb
        1024
    """

    key: ClassVar[str] = "features"

    mode: str = one_of("cache", "stream")
    """Whether the frozen layers run once and their outputs are stored, or run again in every
    epoch."""

    dir: str = "~/.cache/catdog"
    """Folder of the feature store, of unpacked and drawn photos, and of converted weights."""

    dtype: str = one_of("float16", "float32")
    """Type in which features are stored; a value too large for it is an error that
    names float32."""

    ram_mb: int = number(1024, minimum=1)
    """Size in MiB up to which the features of a run are held in memory; larger ones are read from
    disk during training."""

    batch_size: int = number(64, minimum=1)
    """Photos per batch when features are computed."""


@dataclass(frozen=True)
class Evaluation(Group):
    """How validation and test photos are predicted.

    Example:
        >>> Evaluation(tta="flip").tta
        'flip'
    """

    key: ClassVar[str] = "evaluation"

    tta: str = one_of("none", "flip")
    """Test-time augmentation: flip averages the probabilities of each validation and test
    photo and its mirror image."""


@dataclass(frozen=True)
class Objective(Group):
    """The value that a run returns to the sweeper: a metric at the best epoch.

    Example:
        >>> Objective(metric="val/accuracy", direction="maximize").metric
        'val/accuracy'
    """

    key: ClassVar[str] = "objective"

    metric: str = one_of("val/loss", "val/accuracy", "train/loss", "train/accuracy")
    """Metric that a search optimizes, taken at the best epoch of each run."""

    direction: str = one_of("minimize", "maximize")
    """Direction of the search: minimize for a loss, maximize for an accuracy."""

    def check(self) -> None:
        """Reject minimizing an accuracy or maximizing a loss."""
        right = "maximize" if self.metric.endswith("accuracy") else "minimize"
        if self.direction != right:
            raise self.error(
                "direction", f"{self.metric} is to be {right}d", f"objective.direction={right}"
            )


@dataclass(frozen=True)
class Tracking(Group):
    """Where and how runs are logged to MLflow.

    Example:
        >>> Tracking(experiment="pets").log_model
        'auto'
    """

    key: ClassVar[str] = "tracking"

    uri: str | None = None
    """Address of the MLflow tracking store; if unset, MLFLOW_TRACKING_URI, and without that
    mlruns/mlflow.db of the project."""

    experiment: str = "catdog"
    """Name of the MLflow experiment, which is created if it is new."""

    run_name: str | None = None
    """Name of the run in MLflow; made of backbone, head, optimizer and learning rate if unset."""

    log_model: str = one_of("auto", "always", "never")
    """Which runs log an MLflow model beside their checkpoint: single runs and the winner of a
    search (auto), all runs, or none."""
