"""The plugin that Hydra finds: ``hydra/sweeper=optuna`` or ``optuna_workers``.

Hydra imports this module for every ``--help``, so nothing heavy is imported at its top.
"""

from __future__ import annotations

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from optuna_workers import config
from optuna_workers.sampling import options

# when Hydra looks for plugins again it runs this module again, and only this one
config.register()
options.register()


class OptunaSweeper(Sweeper):
    """Searches with Optuna; see the plugin's README for its keys.

    Args:
        settings: ``hydra.sweeper``, checked in ``setup``.
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = settings

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what Hydra gives, and refuse to start where another plugin has our names.

        Raises:
            SweepError: hydra-optuna-sweeper is installed too.
        """
        from optuna_workers import checks

        checks.alone()
        self._given = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Run the study, or what is left of it.

        Args:
            arguments: The task's overrides, swept ones included.

        Returns:
            One list of the JobReturns of this command's trials, by trial number.

        Raises:
            SweepError: the sweep was asked for wrongly.
            HydraException: too many trials failed.
        """
        from optuna_workers import session

        return session.sweep(*self._given, list(arguments))
