"""The study's pruner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna

from optuna_workers.errors import SweepError, wrong_key
from optuna_workers.sampling import nodes, options


def make_pruner(node: Any, directions: Sequence[str]) -> optuna.pruners.BasePruner:
    """Return the study's pruner.

    Args:
        node: ``hydra.sweeper.pruner``.
        directions: One per objective.

    Raises:
        SweepError: it cannot be made, or there are several directions.
    """
    known = nodes.plain(node)
    if "_target_" not in known:
        return optuna.pruners.NopPruner()
    if known.get("max_resource", "") is None:  # hydra.sweeper.max_steps is not set
        known["max_resource"] = "auto"
    if len(directions) > 1:
        raise SweepError(
            "hydra/sweeper/pruner", nodes.class_name(known),
            f"there are {len(directions)} directions and a pruner judges one",
            "hydra/sweeper/pruner=none",
        )  # fmt: skip
    if nodes.class_name(known) == "PatientPruner" and "wrapped_pruner" not in known:
        steps = known.pop("max_resource", "auto")
        known["wrapped_pruner"] = _wrapped(known.pop("wrapped", None), steps)
    nodes.require_usable(known)
    with nodes.without_warnings():
        return nodes.make("pruner", known, optuna.pruners.BasePruner)  # type: ignore[type-abstract]


def _wrapped(option: Any, steps: Any) -> Any:
    """Return the node of the pruner that another holds back."""
    if option is None or nodes.is_node(option):
        return option
    wrappable = [name for name in options.PRUNERS if name not in ("patient", "none")]
    if option not in wrappable:
        raise wrong_key("pruner.wrapped", option, "no such pruner", ", ".join(wrappable))
    node = options.PRUNERS[option]
    return {**node, "max_resource": steps} if option == "hyperband" else node
