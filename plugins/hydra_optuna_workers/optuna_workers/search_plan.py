"""What a sweep would do, without doing it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.types import HydraContext
from omegaconf import DictConfig

from optuna_workers import request
from optuna_workers.masking import without_password
from optuna_workers.storage import location


@dataclass(frozen=True)
class SearchPlan:
    """What a sweep would do.

    Attributes:
        study_name: The study's name; a new one ends in ``-2`` where this one is finished and the
            configuration names none.
        storage: Its database URL, the password masked.
        directory: ``hydra.sweep.dir``, absolute.
        directions: ``minimize`` or ``maximize``, one per objective.
        n_trials: Number of slots.
        n_jobs: Workers that the command starts.
        enumerated: Whether every combination is run once, in order, instead of sampled.
        sampler: The option of ``hydra/sweeper/sampler``; ``auto`` samples with ``tpe``, unless
            the sweep is enumerated.
        pruner: The option of ``hydra/sweeper/pruner``.
        parameters: The swept space as JSON values, by name: ``kind``, ``choices`` or ``low``,
            ``high``, ``step``, ``log``, and ``when``.
        overrides: The task overrides that are not swept.
        enqueue: Points that fill the first slots.
        config: Composed with the first point, ``hydra`` included.
    """

    study_name: str
    storage: str
    directory: Path
    directions: tuple[str, ...]
    n_trials: int
    n_jobs: int
    enumerated: bool
    sampler: str
    pruner: str
    parameters: Mapping[str, Any]
    overrides: tuple[str, ...]
    enqueue: tuple[Mapping[str, Any], ...]
    config: DictConfig = field(repr=False)


def describe(context: HydraContext, config: DictConfig) -> SearchPlan:
    """Return what a sweep would do; check it as far as the sweep itself would at its start.

    Nothing is written and no database is opened. Some points are composed, so that a wrong key
    is known.

    Args:
        context: Hydra's, with the loader that made the configuration.
        config: The whole configuration, ``hydra`` included, made in ``RunMode.MULTIRUN``.

    Raises:
        SweepError: the sweep cannot run.
        HydraException: a key or a value is wrong.

    Example:
        With Hydra started on a folder of configurations::

            loader = GlobalHydra.instance().config_loader()
            config = loader.load_configuration("config", ["x=1,2"], RunMode.MULTIRUN)
            plan = search_plan.describe(HydraContext(loader, Callbacks()), config)
            print(plan.n_trials, plan.storage)
    """
    config = copy.deepcopy(config)
    sweeper, chosen = config.hydra.sweeper, config.hydra.runtime.choices
    asked = request.read(context, sweeper, list(config.hydra.overrides.task))
    where = location.first(config, asked.space, asked.directions)
    return SearchPlan(
        study_name=where.name,
        storage=without_password(where.url),
        directory=where.directory,
        directions=tuple(asked.directions),
        n_trials=asked.total,
        n_jobs=sweeper.n_jobs or 1,
        enumerated=asked.enumerated,
        sampler=str(chosen["hydra/sweeper/sampler"]),
        pruner=str(chosen["hydra/sweeper/pruner"]),
        parameters=asked.space.canonical(),
        overrides=asked.space.fixed,
        enqueue=asked.enqueue,
        config=request.compose_examples(context, config, asked.space),
    )
