"""Config nodes of samplers and pruners, and the objects of Optuna's that they make."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import re
import threading
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import optuna
from hydra.utils import instantiate
from omegaconf import OmegaConf

from optuna_workers.config import ENUMERATING
from optuna_workers.errors import SweepError, wrong_key

NEEDS = {
    "CmaEsSampler": ("cmaes",),
    "GPSampler": ("torch", "scipy"),
    "QMCSampler": ("scipy",),
    "WilcoxonPruner": ("scipy",),
}
"""Packages that Optuna loads late: without them only some later trial would fail."""

DEFAULTS = {"sampler": "auto", "pruner": "none"}

REPEATING = ("GridSampler", "BruteForceSampler")
"""They repeat points when workers run side by side."""

Made = TypeVar("Made")

_filters = threading.Lock()
"""Warnings' filters belong to the process, and workers are its threads."""


def plain(node: Any) -> dict[str, Any]:
    """Return a node as a mapping; a name of ours means nothing beside somebody's class."""
    if not OmegaConf.is_config(node):
        known: dict[str, Any] = dict(node or {})
    else:
        known = OmegaConf.to_container(node, resolve=True)  # type: ignore[assignment]
    if "_target_" not in known or known.get("name") in (*ENUMERATING, "none"):
        known.pop("name", None)
    return known


def is_node(value: Any) -> bool:
    """Return whether a value names a class."""
    return isinstance(value, Mapping) and "_target_" in value


def class_name(known: Mapping[str, Any]) -> str:
    """Return the name of a node's class, without its module; empty if it names none."""
    return str(known.get("_target_", "")).rpartition(".")[2]


def arguments(known: Mapping[str, Any]) -> list[str]:
    """Return the arguments that a node's class takes, none if there is no such class."""
    try:
        module, _, name = str(known["_target_"]).rpartition(".")
        found = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    except Exception:  # instantiate will say what is wrong with it
        return []
    return [name for name in found if name not in ("args", "kwargs")]


def require_usable(known: Mapping[str, Any]) -> None:
    """Refuse what would fail in a later trial.

    Raises:
        SweepError: the class repeats points, or a package that it needs is not installed.
    """
    name = class_name(known)
    group = "pruner" if name.endswith("Pruner") else "sampler"
    if name in REPEATING:
        raise wrong_key(
            "sampler", name, "it repeats points when workers run side by side",
            "hydra/sweeper/sampler=grid, which tries each combination once",
        )  # fmt: skip
    missing = " ".join(one for one in NEEDS.get(name, ()) if not _is_installed(one))
    if missing:
        raise SweepError(
            f"hydra/sweeper/{group}", name, f"it needs the package {missing}",
            f"pip install {missing}",
        )  # fmt: skip


def make(group: str, known: Mapping[str, Any], kind: type[Made]) -> Made:
    """Make the object that a node describes.

    Args:
        group: ``sampler`` or ``pruner``.
        known: The node.
        kind: What the object must be.

    Raises:
        SweepError: it cannot be made, or is something else.
    """
    try:
        # as Python's own lists and mappings: Optuna copies and pickles what it is given
        made = instantiate({"_convert_": "all", **known})
    except Exception as error:
        raise refused(group, known, error) from None
    if not isinstance(made, kind):
        raise wrong_key(
            group, known["_target_"], f"it makes a {type(made).__name__}, not a {kind.__name__}",
            f"a class of optuna.{group}s",
        )  # fmt: skip
    return made


def refused(group: str, known: Mapping[str, Any], error: Exception) -> SweepError:
    """Return the error that says why a class of Optuna's refused, and what it takes."""
    cause = error.__cause__ or error
    reason = re.sub(r"\s+", " ", str(cause)).strip()
    takes = ", ".join(arguments(known))
    fix = f"one of its arguments: {takes}" if isinstance(cause, TypeError) and takes else ""
    fix = fix or f"another value, or hydra/sweeper/{group}={DEFAULTS[group]}"
    return wrong_key(group, class_name(known) or "auto", reason, fix)


@contextlib.contextmanager
def without_warnings(*more: type[Warning]) -> Iterator[None]:
    """Silence Optuna's warnings of features that it may change: a person named this one."""
    with _filters, warnings.catch_warnings():
        kinds: list[type[Warning]] = [optuna.exceptions.ExperimentalWarning, *more]
        for kind in kinds:
            warnings.simplefilter("ignore", kind)
        yield


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:
        return False
