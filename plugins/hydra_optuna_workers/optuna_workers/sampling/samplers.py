"""Samplers: one for each trial, with a stream of its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna

from optuna_workers.errors import wrong_key
from optuna_workers.sampling import nodes, options

log = logging.getLogger(__name__)

SHARED_STREAM = ("CmaEsSampler", "QMCSampler")
"""Their state lies in the study, so all workers need the same seed."""


def make_sampler(
    node: Any, number: int, seed: int | None, *, conditional: bool
) -> optuna.samplers.BaseSampler:
    """Return a trial's sampler.

    A sampler with a seed draws the same values in every worker that has a copy, so each trial
    gets one of its own, seeded by the study's seed and the trial's number.

    Args:
        node: ``hydra.sweeper.sampler``; its own seed wins.
        number: Optuna's number of the trial, 0 or more.
        seed: ``hydra.sweeper.seed``.
        conditional: Whether some keys are swept only at some points.

    Raises:
        SweepError: the sampler cannot be made.
    """
    known = nodes.plain(node)
    if "_target_" not in known:  # auto
        known = {**options.SAMPLERS["tpe"], **known}
    if nodes.class_name(known) == "TPESampler" and conditional:
        if known.get("multivariate") is not False and known.get("group") is None:
            known.update(multivariate=True, group=True)
    nodes.require_usable(known)
    with nodes.without_warnings(FutureWarning):  # check_sampler lets them through, once
        made = nodes.make("sampler", _seeded(known, seed, number), optuna.samplers.BaseSampler)  # type: ignore[type-abstract]
    if isinstance(made, optuna.samplers.QMCSampler):
        # Optuna counts the points in two steps, in which two workers take the same one
        made._find_sample_id = lambda *_: number  # type: ignore[method-assign]
    return made


def check_sampler(node: Any, directions: Sequence[str], *, conditional: bool) -> None:
    """Make a sampler and draw once, so that what is wrong is said before the first trial.

    Raises:
        SweepError: the sampler cannot be made, or not used for these directions.
    """
    known = nodes.plain(node)
    name = nodes.class_name(known)
    if conditional and name in ("CmaEsSampler", "GPSampler", "QMCSampler"):
        log.warning(
            "%s draws keys with conditions (hydra.sweeper.when) at random; tpe does not", name
        )
    nodes.require_usable(known)
    if "_target_" in known:
        with nodes.without_warnings():
            nodes.make("sampler", _seeded(known, 0, 0), optuna.samplers.BaseSampler)  # type: ignore[type-abstract]
    sampler = make_sampler(node, 0, 0, conditional=conditional)
    try:
        ways: Any = list(directions)
        study = optuna.create_study(directions=ways, sampler=sampler)
        study.ask().suggest_float("x", 0, 1)
    except Exception as error:
        raise nodes.refused("sampler", known, error) from None


def stream(seed: int | None, number: int) -> int | None:
    """Return the seed of one trial, the same on every machine; none without a seed.

    Raises:
        SweepError: the seed is not a whole number.
    """
    if seed is None:
        return None
    if not isinstance(seed, int):
        raise wrong_key("sampler.seed", seed, "must be a whole number", "0")
    return int(np.random.SeedSequence([seed % 2**64, number]).generate_state(1)[0])


def _seeded(known: Mapping[str, Any], seed: int | None, number: int) -> dict[str, Any]:
    """Give a sampler, and those inside of it, the trial's own seed."""
    seed = seed if known.get("seed") is None else known["seed"]
    shared = nodes.class_name(known) in SHARED_STREAM
    if shared and known.get("independent_sampler") is None:
        # of its own seed: it would draw the same in each trial
        known = {**known, "independent_sampler": options.SAMPLERS["random"]}
    inner = {
        key: _seeded(value, seed, number) if nodes.is_node(value) else value
        for key, value in known.items()
        if value is not None
    }
    if _takes_seed(known):
        inner["seed"] = stream(seed or 0, 0) if shared else stream(seed, number)
    return inner


def _takes_seed(known: Mapping[str, Any]) -> bool:
    return "seed" in known or "seed" in nodes.arguments(known)
