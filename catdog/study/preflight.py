"""A sweep callback that checks settings, photos and weights before the first trial."""

from __future__ import annotations

import gc

from optuna_workers import StudyInfo, SweepCallback

from catdog.cli import choices, hydra_app, overrides
from catdog.core import paths
from catdog.errors import CatdogError, listed
from catdog.mlflow_store import answers


class Preflight(SweepCallback):
    """Refuses a sweep whose every trial would fail, in one message; indexes the photos once.

    It has to be listed before the callbacks that write anything.
    """

    def __init__(self) -> None:
        self._passed = False

    def on_study_start(self, study: StudyInfo) -> None:
        """Check before other callbacks write anything."""
        self._check(study)

    def on_session_start(self, study: StudyInfo) -> None:
        """Check on every machine that works on the study; each needs the photos and weights."""
        self._check(study)

    def _check(self, study: StudyInfo) -> None:
        from catdog.cli import console, inputs

        if self._passed:
            return
        gc.enable()  # Hydra composed without it; the process of a sweep runs for hours
        _require_named(study)
        choices.check_search(overrides.plain(study.config), study.parameters, study.overrides)
        settings = hydra_app.settings_of(study.config)
        answers.check(paths.store(settings.tracking.uri, paths.root()))
        inputs.photos_and_weights(settings, console.Console())
        self._passed = True


def _require_named(study: StudyInfo) -> None:
    """Refuse values in a search's file that the commands of its trials would not contain."""
    if keys := overrides.unnamed(study.config):
        raise CatdogError(
            f"{study.config.hydra.job.config_name}.yaml: sets {listed(keys)} where no trial's "
            "command would name it, so no trial could be repeated. Put it under "
            "hydra.sweeper.params, a group by its name (head: mlp)"
        )
