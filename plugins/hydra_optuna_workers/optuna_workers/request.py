"""What a command asks for, checked before anything is made of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from optuna_workers import checks
from optuna_workers.sampling import samplers
from optuna_workers.space import space as space_module
from optuna_workers.space.space import Space

log = logging.getLogger(__name__)

DEFAULT_TRIALS = 20


@dataclass(frozen=True)
class Asked:
    """A sweep as a command describes it.

    Attributes:
        space: Fixed overrides and swept keys.
        enumerated: Whether slot k is combination k, instead of sampled.
        directions: One per objective.
        total: Number of slots.
        enqueue: Points to try first.
    """

    space: Space
    enumerated: bool
    directions: list[str]
    total: int
    enqueue: tuple[Mapping[str, Any], ...]


def read(context: HydraContext, sweeper: DictConfig, arguments: list[str]) -> Asked:
    """Read and check ``hydra.sweeper`` and the task's overrides.

    Raises:
        SweepError: something cannot run.
        HydraException: text that is not in Hydra's grammar.
    """
    checks.settings(sweeper)
    directions = checks.directions(sweeper)
    parser = OverridesParser.create(config_loader=context.config_loader)
    space = space_module.read(arguments, sweeper.params or {}, sweeper.when or {}, parser)
    enumerated = checks.enumerates(sweeper, space)
    samplers.make_pruner(sweeper.pruner, directions)
    for key in ("custom_search_space", "preload"):
        checks.function(sweeper, key)
    if not enumerated:
        samplers.check_sampler(sweeper.sampler, directions, conditional=bool(space.conditions))
    points: Any = OmegaConf.to_container(sweeper, resolve=True)["enqueue"] or ()  # type: ignore
    enqueue = tuple(space.check(point) for point in points)
    return Asked(space, enumerated, directions, _slots(sweeper, space, enumerated), enqueue)


def _slots(sweeper: DictConfig, space: Space, enumerated: bool) -> int:
    """Return how many trials there are to be; of combinations never more than there are."""
    if enumerated:
        return min(sweeper.n_trials or len(space), len(space))
    if sweeper.n_trials is None:
        log.info("hydra.sweeper.n_trials is not set: %d trials", DEFAULT_TRIALS)
    return sweeper.n_trials or DEFAULT_TRIALS


def composed(context: HydraContext, config: DictConfig, space: Space) -> DictConfig:
    """Compose a few of the points, so that a wrong key is known before the first trial."""
    examples = space.examples()
    for overrides in examples[1:]:
        context.config_loader.load_sweep_config(config, overrides)
    return context.config_loader.load_sweep_config(config, examples[0])
