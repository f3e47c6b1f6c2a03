"""MLflow's model registry: versions of one model, and who holds which alias."""

from __future__ import annotations

from dataclasses import dataclass

import mlflow
from mlflow.exceptions import MlflowException

from catdog.errors import ConfigError
from catdog.tracking.store import Tracker

CHAMPION, PREVIOUS = "champion", "previous"
NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow answers when there is no such model, or no such alias."""


@dataclass(frozen=True)
class Version:
    """A registered version, and the run that trained it."""

    number: str
    run_id: str


class Registry:
    """The versions of one registered model.

    Args:
        tracker: The store; the registry is its own.
        name: Of the registered model.

    Raises:
        ConfigError: the registry does not answer.
    """

    def __init__(self, tracker: Tracker, name: str) -> None:
        mlflow.set_tracking_uri(
            tracker.uri
        )  # models:/m-... are looked up there, not in a client's
        self.name = name
        self._client = mlflow.MlflowClient(tracker.uri, registry_uri=tracker.uri)
        try:
            self._client.search_registered_models(f"name = '{name}'", max_results=1)
        except (MlflowException, OSError) as error:
            reason = str(error).splitlines()[0][:300]
            raise ConfigError(
                "--uri", tracker.shown_uri, f"its model registry does not answer: {reason}"
            ) from None

    def version_of(self, alias: str) -> Version | None:
        """Return the version that an alias names, if there is one."""
        try:
            found = self._client.get_model_version_by_alias(self.name, alias)
        except MlflowException as error:
            if error.error_code in NOT_THERE:
                return None
            raise
        return Version(str(found.version), found.run_id or "")

    def register(self, run_id: str, model_id: str) -> Version:
        """Make a run's logged model a version; one that is there already stays the one.

        Args:
            run_id: The run that trained it.
            model_id: MLflow's id of the logged model.
        """
        same = f"name = '{self.name}' and run_id = '{run_id}'"
        there = self._client.search_model_versions(same)
        if there:
            return Version(str(there[0].version), run_id)
        if not self._client.search_registered_models(f"name = '{self.name}'"):
            self._client.create_registered_model(self.name)
        made = self._client.create_model_version(
            self.name, f"models:/{model_id}", run_id, model_id=model_id
        )
        return Version(str(made.version), run_id)

    def promote(self, version: Version) -> None:
        """Give a version the alias ``champion``; the one that had it becomes ``previous``."""
        before = self.version_of(CHAMPION)
        if before is not None and before.number != version.number:
            self._client.set_registered_model_alias(self.name, PREVIOUS, before.number)
        self._client.set_registered_model_alias(self.name, CHAMPION, version.number)
