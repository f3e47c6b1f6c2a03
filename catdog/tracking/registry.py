"""MLflow's model registry: the versions of one registered model and their aliases."""

from __future__ import annotations

import time
from dataclasses import dataclass

import mlflow
from mlflow.exceptions import MlflowException

from catdog.errors import ConfigError
from catdog.tracking.store import Tracker

CHAMPION, PREVIOUS = "champion", "previous"
"""Aliases of the version in use and of the one that it replaced."""

OURS = "**The champion is version"
"""How the description of a registered model starts unless the user has written another."""

NOT_FOUND = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""MLflow's error codes for a model, and for an alias, that does not exist."""


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    Attributes:
        number: MLflow's number of the version.
        run_id: MLflow's id of the run that trained it; empty if it is unknown.
    """

    number: str
    run_id: str


class Registry:
    """The versions of one registered model.

    Args:
        tracker: The MLflow store, whose registry is used.
        name: Name of the registered model.

    Raises:
        ConfigError: the registry does not answer.
    """

    def __init__(self, tracker: Tracker, name: str) -> None:
        # MLflow looks up models:/m-... in the process's tracking URI, not in the client's
        mlflow.set_tracking_uri(tracker.uri)
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
        """Return the version with an alias, or None if there is no such model or alias."""
        try:
            found = self._client.get_model_version_by_alias(self.name, alias)
        except MlflowException as error:
            if error.error_code in NOT_FOUND:
                return None
            raise
        return Version(str(found.version), found.run_id or "")

    def register(self, run_id: str, model_id: str) -> Version:
        """Make a run's logged model a version, unless the run has one.

        Args:
            run_id: MLflow's id of the run that trained it.
            model_id: MLflow's id of the logged model.

        Returns:
            The new version, or the one that the run has already.
        """
        same_run = f"name = '{self.name}' and run_id = '{run_id}'"
        known = self._client.search_model_versions(same_run)
        if known:
            return Version(str(known[0].version), run_id)
        if not self._client.search_registered_models(f"name = '{self.name}'"):
            self._client.create_registered_model(self.name)
        made = self._client.create_model_version(
            self.name, f"models:/{model_id}", run_id, model_id=model_id
        )
        return Version(str(made.version), run_id)

    def promote(self, version: Version) -> None:
        """Give a version the alias ``champion``, and the one that had it ``previous``."""
        before = self.version_of(CHAMPION)
        if before is not None and before.number != version.number:
            self._client.set_registered_model_alias(self.name, PREVIOUS, before.number)
            self.describe(before, f"Replaced by version {version.number}.")
        self._client.set_registered_model_alias(self.name, CHAMPION, version.number)

    def describe(self, version: Version, sentence: str) -> None:
        """Write a sentence, with today's date, above what a version's description says already.

        Args:
            version: The version.
            sentence: Why it is champion, or is not; in Markdown.
        """
        now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        said = self._client.get_model_version(self.name, version.number).description or ""
        if sentence not in said.partition("\n")[0]:
            # the date last: a table shows the first words alone
            text = f"{sentence} ({now})\n\n{said}".strip()
            self._client.update_model_version(self.name, version.number, text)

    def introduce(self, version: Version, sentence: str) -> None:
        """Say on the model's own page which version is champion, and why.

        A description of the user's own stays.
        """
        said = self._client.get_registered_model(self.name).description or ""
        if not said or said.startswith(OURS):
            use = f"Use it with `--model models:/{self.name}@{CHAMPION}`."
            text = f"{OURS} {version.number}.** {sentence}\n\n{use}"
            self._client.update_registered_model(self.name, text)
