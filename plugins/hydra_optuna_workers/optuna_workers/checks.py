"""Refuses, with one message each, what cannot run."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
import socket
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from optuna_workers.config import ENUMERATING
from optuna_workers.errors import SweepError, wrong_key
from optuna_workers.space.space import Space

OFFICIAL = "hydra_plugins.hydra_optuna_sweeper"

LEAST = {
    "n_trials": 1,
    "n_jobs": 1,
    "max_trials_per_worker": 1,
    "max_retries": 0,
    "patience": 1,
}
"""Least values of whole numbers."""

ANSWERS_IN = 5
"""Seconds in which a cluster answers."""

WORDS = {
    "isolation": ("process", "none"),
    "duplicates": ("reuse", "run"),
    "output": ("file", "terminal"),
}
"""Keys that take one of some words, the default first."""


def alone() -> None:
    """Refuse to run beside the official plugin: whichever Hydra finds last would get our keys."""
    if importlib.util.find_spec(OFFICIAL) is not None:
        raise SweepError(
            "hydra/sweeper", "optuna", "hydra-optuna-sweeper is installed and has the same name",
            "pip uninstall hydra-optuna-sweeper",
        )  # fmt: skip


def settings(sweeper: DictConfig) -> None:
    """Check the ranges of ``hydra.sweeper``'s numbers and names."""
    for key, least in LEAST.items():
        if sweeper[key] is not None and sweeper[key] < least:
            raise _wrong(key, sweeper[key], f"must be {least} or more", str(max(least, 1)))
    for key in ("lease_seconds", "timeout"):
        if sweeper[key] is not None and sweeper[key] <= 0:
            raise _wrong(key, sweeper[key], "must be above 0 (seconds)", "60")
    if not 0 <= sweeper.max_failure_rate <= 1:
        raise _wrong("max_failure_rate", sweeper.max_failure_rate, "must be from 0 to 1", "0.5")
    for key, known in WORDS.items():
        if sweeper[key] not in known:
            raise _wrong(key, sweeper[key], f"must be {' or '.join(known)}", known[0])


def launcher(node: DictConfig) -> None:
    """Refuse a Ray cluster that nobody is at: Ray itself tries for minutes.

    Args:
        node: ``hydra.launcher``.
    """
    address = str(OmegaConf.select(node, "ray.init.address") or "")
    found = re.fullmatch(r"(?:ray://)?([^/:\s]+):(\d+)", address)
    try:
        if found:
            socket.create_connection((found[1], int(found[2])), ANSWERS_IN).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SweepError(
            "hydra.launcher.ray.init.address", address, f"no Ray cluster answers there: {reason}",
            "the address that `ray start --head` has printed, or hydra/launcher=basic",
        ) from None  # fmt: skip


def directions(sweeper: DictConfig) -> list[str]:
    """Return the directions as a list of words."""
    asked = sweeper.direction
    given = OmegaConf.to_container(asked) if OmegaConf.is_list(asked) else [asked]
    found = [str(getattr(one, "name", one)).lower() for one in given]  # type: ignore[union-attr]
    wrong = [one for one in found if one not in ("minimize", "maximize")]
    if wrong or not found:
        raise _wrong("direction", asked, "must be minimize or maximize, or a list", "minimize")
    if len(found) > 1 and sweeper.patience is not None:
        raise _wrong("patience", sweeper.patience, f"there are {len(found)} directions", "null")
    return found


def enumerates(sweeper: DictConfig, space: Space) -> bool:
    """Return whether every combination is run once, in order, instead of sampled.

    Raises:
        SweepError: they should be, but there is an interval among them.
    """
    sampler = option(sweeper.sampler)
    if sampler not in ENUMERATING:
        return False
    if sweeper.custom_search_space or not space.finite:
        if sampler == "auto":
            return False
        endless = [p.name for p in space.parameters if not p.texts]
        raise SweepError(
            "hydra/sweeper/sampler", sampler,
            f"it tries every combination, but {', '.join(endless) or 'the space'} is not a list",
            "hydra/sweeper/sampler=tpe, or lists such as 1e-4,1e-3",
        )  # fmt: skip
    return True


def function(sweeper: DictConfig, key: str) -> Any:
    """Return the function that a key of ``hydra.sweeper`` names, if any.

    Raises:
        SweepError: there is no such function.
    """
    if (path := sweeper[key]) is None:
        return None
    try:
        return _resolved(path.lstrip("."))
    except (ImportError, AttributeError, ValueError) as error:
        reason = f"it cannot be loaded: {error}"
        raise wrong_key(key, path, reason, "package.module.function") from None


def _resolved(path: str) -> Any:
    """Return what a dotted name means; files may have names such as ``search-space.py``."""
    module, _, name = path.rpartition(".")
    if "-" in module and ":" not in path:
        return getattr(importlib.import_module(module), name)
    return pkgutil.resolve_name(path)


def option(node: Any) -> str:
    """Return the option that a group's node is, or an empty text for one of the user's own."""
    known = node.get("name") if isinstance(node, (Mapping, DictConfig)) else node
    return str(known or "")


def _wrong(key: str, found: Any, reason: str, value: str) -> SweepError:
    return wrong_key(key, found, reason, f"hydra.sweeper.{key}={value}")
