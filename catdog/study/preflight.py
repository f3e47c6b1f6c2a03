"""What a sweep checks before its first trial: settings, photos, weights."""

from __future__ import annotations

import gc

from optuna_workers import StudyInfo, SweepCallback

from catdog.cli import hydra_app, overrides
from catdog.errors import CatdogError, listed


class Preflight(SweepCallback):
    """Refuses in one message what every trial would fail by, and indexes the photos once.

    It is to stand before the callbacks that write anything.
    """

    def __init__(self) -> None:
        self._passed = False

    def on_study_start(self, study: StudyInfo) -> None:
        """Check before other callbacks make something of the study."""
        self._check(study)

    def on_session_start(self, study: StudyInfo) -> None:
        """Check on every machine that joins: photos and weights lie on each."""
        self._check(study)

    def _check(self, study: StudyInfo) -> None:
        from catdog.cli import console, inputs

        if self._passed:
            return
        gc.enable()  # off while Hydra composes; a sweep's parent lives for hours
        _require_named(study)
        inputs.photos_and_weights(hydra_app.settings_of(study.config), console.Console())
        self._passed = True


def _require_named(study: StudyInfo) -> None:
    """Refuse what a search's file sets where no trial's command, and no repeat, would have it."""
    if keys := overrides.unnamed(study.config):
        raise CatdogError(
            f"{study.config.hydra.job.config_name}.yaml: sets {listed(keys)} where no trial's "
            "command would name it, so no trial could be repeated. Put it under "
            "hydra.sweeper.params, a group by its name (head: mlp)"
        )
