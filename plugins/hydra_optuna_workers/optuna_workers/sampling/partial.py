"""Samplers that hold some keys at values: Optuna's ``PartialFixedSampler``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna_workers.errors import wrong_key
from optuna_workers.sampling import nodes, options
from optuna_workers.space import Space
from optuna_workers.space.overrides import flat

CLASS, FIXED, BASE = "PartialFixedSampler", "sampler.fixed_params", "sampler.base_sampler"


def split(node: Any, space: Space) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a sampler's node without the keys that it holds, and their values.

    A trial is created with the values. Optuna's own class hides the keys from the sampler that
    draws the others, which its grouped TPE does not bear.

    Args:
        node: ``hydra.sweeper.sampler``.
        space: What is swept.

    Raises:
        SweepError: a key is not swept, a value lies outside, or there is no such base sampler.
    """
    known = nodes.plain(node)
    if nodes.class_name(known) != CLASS:
        return known, {}
    held = known.get("fixed_params")
    if not isinstance(held, Mapping) or not held:
        some = next((parameter.name for parameter in space.parameters), "key")
        raise wrong_key(FIXED, held, "it names no key to hold", f"{{{some}: <value>}}")
    base = _base(known.get("base_sampler"))
    if known.get("seed") is not None and base.get("seed") is None:
        base["seed"] = known["seed"]
    return base, space.check(dict(flat(held)), FIXED)


def _base(option: Any) -> dict[str, Any]:
    """Return the node of the sampler that draws the other keys."""
    if nodes.is_node(option) and nodes.class_name(option) != CLASS:
        return dict(option)
    usable = [
        name
        for name, one in options.SAMPLERS.items()
        if name == "auto" or "_target_" in one and nodes.class_name(one) != CLASS
    ]
    if option not in usable:
        raise wrong_key(BASE, option, "no such sampler to draw the other keys", ", ".join(usable))
    return nodes.plain(options.SAMPLERS[option])
