"""What a command asks for, checked before anything is made of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from optuna_workers import checks, space
from optuna_workers.sampling import partial
from optuna_workers.sampling.pruners import make_pruner
from optuna_workers.sampling.samplers import check_sampler
from optuna_workers.space import Space

log = logging.getLogger(__name__)

DEFAULT_TRIALS = 20


@dataclass(frozen=True)
class SweepRequest:
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


def read(context: HydraContext, sweeper: DictConfig, arguments: Sequence[str]) -> SweepRequest:
    """Read and check ``hydra.sweeper`` and the task's overrides.

    Raises:
        SweepError: something cannot run.
        HydraException: text that is not in Hydra's grammar.
    """
    checks.settings(sweeper)
    directions = checks.directions(sweeper)
    parser = OverridesParser.create(config_loader=context.config_loader)
    searched = space.read(arguments, sweeper.params, sweeper.when, parser)
    _say_repeated(searched)
    enumerated = checks.enumerates(sweeper, searched)
    make_pruner(sweeper.pruner, directions)
    for key in ("custom_search_space", "preload"):
        checks.function(sweeper, key)
    if not enumerated:
        sampler, _ = partial.split(sweeper.sampler, searched)
        check_sampler(sampler, directions, conditional=bool(searched.conditions))
    settings: Any = OmegaConf.to_container(sweeper, resolve=True)
    points = tuple(searched.check(point) for point in settings["enqueue"] or ())
    total = _slots(sweeper, searched, enumerated)
    return SweepRequest(searched, enumerated, directions, total, points)


def compose_examples(context: HydraContext, config: DictConfig, searched: Space) -> DictConfig:
    """Compose a few points, so that a wrong key is known before the first trial.

    Returns:
        The configuration of the first point, ``hydra`` included.
    """
    first, *others = searched.examples()
    for overrides in others:
        context.config_loader.load_sweep_config(config, overrides)
    return context.config_loader.load_sweep_config(config, first)


def _say_repeated(searched: Space) -> None:
    for parameter in searched.parameters:
        if twice := ", ".join(parameter.repeated):
            listed = ",".join(parameter.texts)
            log.warning(
                "%s: %s stands more than once in the list, and is tried once: %s=%s",
                parameter.name, twice, parameter.key, listed,
            )  # fmt: skip


def _slots(sweeper: DictConfig, searched: Space, enumerated: bool) -> int:
    """Return how many trials there are to be; of combinations never more than there are."""
    if enumerated:
        return min(sweeper.n_trials or len(searched), len(searched))
    if sweeper.n_trials is None:
        log.info("hydra.sweeper.n_trials is not set: %d trials", DEFAULT_TRIALS)
    return sweeper.n_trials or DEFAULT_TRIALS
