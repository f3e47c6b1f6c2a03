"""Optuna's samplers and pruners, made from their config nodes."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import logging
import re
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import optuna
from hydra.utils import instantiate
from omegaconf import OmegaConf

from optuna_workers.errors import SweepError
from optuna_workers.sampling import options

log = logging.getLogger(__name__)

SHARED_STREAM = ("CmaEsSampler", "QMCSampler")
"""Their state lies in the study, so all workers need the same seed."""

NEEDS = {
    "CmaEsSampler": ("cmaes",),
    "GPSampler": ("torch", "scipy"),
    "QMCSampler": ("scipy",),
    "WilcoxonPruner": ("scipy",),
}
"""Packages that Optuna loads late: without them only some later trial would fail."""

DEFAULTS = {"sampler": "auto", "pruner": "none"}

REPEATING = ("GridSampler", "BruteForceSampler")

Made = TypeVar("Made")

_filters = threading.Lock()
"""Warnings' filters belong to the process, and workers are its threads."""


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
    known = _plain(node)
    if "_target_" not in known:  # auto
        known = {**options.SAMPLERS["tpe"], **known}
    if _kind(known) == "TPESampler" and conditional:
        if known.get("multivariate") is not False and known.get("group") is None:
            known.update(multivariate=True, group=True)
    _require_usable(known)
    with _without_warnings(FutureWarning):  # check_sampler lets them through, once
        made = _made("sampler", _seeded(known, seed, number), optuna.samplers.BaseSampler)  # type: ignore[type-abstract]
    if isinstance(made, optuna.samplers.QMCSampler):
        # Optuna counts the points in two steps, in which two workers take the same one
        made._find_sample_id = lambda *_: number  # type: ignore[method-assign]
    return made


def check_sampler(node: Any, directions: Sequence[str], *, conditional: bool) -> None:
    """Make a sampler and draw once, so that what is wrong is said before the first trial.

    Raises:
        SweepError: the sampler cannot be made, or not used for these directions.
    """
    known = _plain(node)
    kind = _kind(known)
    if conditional and kind in ("CmaEsSampler", "GPSampler", "QMCSampler"):
        log.warning(
            "%s draws keys with conditions (hydra.sweeper.when) at random; tpe does not", kind
        )
    _require_usable(known)
    if "_target_" in known:
        with _without_warnings():
            _made("sampler", _seeded(known, 0, 0), optuna.samplers.BaseSampler)  # type: ignore[type-abstract]
    sampler = make_sampler(node, 0, 0, conditional=conditional)
    try:
        ways: Any = list(directions)
        study = optuna.create_study(directions=ways, sampler=sampler)
        study.ask().suggest_float("x", 0, 1)
    except Exception as error:
        raise _refused("sampler", known, error) from None


def _seeded(known: Mapping[str, Any], seed: int | None, number: int) -> dict[str, Any]:
    """Give a sampler, and those inside of it, the trial's own seed."""
    seed = seed if known.get("seed") is None else known["seed"]
    shared = _kind(known) in SHARED_STREAM
    if shared and known.get("independent_sampler") is None:
        # of its own seed: it would draw the same in each trial
        known = {**known, "independent_sampler": options.SAMPLERS["random"]}
    inner = {
        key: _seeded(value, seed, number) if _is_node(value) else value
        for key, value in known.items()
        if value is not None
    }
    if _takes_seed(known):
        inner["seed"] = stream(seed or 0, 0) if shared else stream(seed, number)
    return inner


def _takes_seed(known: Mapping[str, Any]) -> bool:
    return "seed" in known or "seed" in _arguments(known)


def stream(seed: int | None, number: int) -> int | None:
    """Return the seed of one trial, the same on every machine; none without a seed.

    Raises:
        SweepError: the seed is not a whole number.
    """
    if seed is None:
        return None
    if not isinstance(seed, int):
        raise SweepError("hydra.sweeper.sampler.seed", seed, "must be a whole number", "0")
    return int(np.random.SeedSequence([seed % 2**64, number]).generate_state(1)[0])


def make_pruner(node: Any, directions: Sequence[str]) -> optuna.pruners.BasePruner:
    """Return the study's pruner.

    Args:
        node: ``hydra.sweeper.pruner``.
        directions: One per objective.

    Raises:
        SweepError: it cannot be made, or there are several directions.
    """
    known = _plain(node)
    if "_target_" not in known:
        return optuna.pruners.NopPruner()
    if known.get("max_resource", "") is None:  # hydra.sweeper.max_steps is not set
        known["max_resource"] = "auto"
    if len(directions) > 1:
        raise SweepError(
            "hydra/sweeper/pruner", _kind(known),
            f"there are {len(directions)} directions and a pruner judges one",
            "hydra/sweeper/pruner=none",
        )  # fmt: skip
    if _kind(known) == "PatientPruner" and "wrapped_pruner" not in known:
        steps = known.pop("max_resource", "auto")
        known["wrapped_pruner"] = _wrapped(known.pop("wrapped", None), steps)
    _require_usable(known)
    with _without_warnings():
        return _made("pruner", known, optuna.pruners.BasePruner)  # type: ignore[type-abstract]


def _wrapped(option: Any, steps: Any) -> Any:
    if option is None or _is_node(option):
        return option
    wrappable = [name for name in options.PRUNERS if name not in ("patient", "none")]
    if option not in wrappable:
        raise SweepError(
            "hydra.sweeper.pruner.wrapped", option, "no such pruner", ", ".join(wrappable)
        )
    node = options.PRUNERS[option]
    return {**node, "max_resource": steps} if option == "hyperband" else node


def _plain(node: Any) -> dict[str, Any]:
    """Return a node as a mapping; a name of ours means nothing beside somebody's class."""
    if not OmegaConf.is_config(node):
        known: dict[str, Any] = dict(node or {})
    else:
        known = OmegaConf.to_container(node, resolve=True)  # type: ignore[assignment]
    if "_target_" not in known or known.get("name") in (*options.ENUMERATING, "none"):
        known.pop("name", None)
    return known


def _is_node(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _kind(known: Mapping[str, Any]) -> str:
    return str(known.get("_target_", "")).rpartition(".")[2]


def _arguments(known: Mapping[str, Any]) -> list[str]:
    """Return the arguments that a node's class takes, none if there is no such class."""
    try:
        module, _, name = str(known["_target_"]).rpartition(".")
        found = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    except Exception:  # instantiate will say what is wrong with it
        return []
    return [name for name in found if name not in ("args", "kwargs")]


def _require_usable(known: Mapping[str, Any]) -> None:
    """Refuse what would fail in a later trial."""
    kind = _kind(known)
    group = "pruner" if kind.endswith("Pruner") else "sampler"
    if kind in REPEATING:
        raise SweepError(
            "hydra.sweeper.sampler", kind, "it repeats points when workers run side by side",
            "hydra/sweeper/sampler=grid, which tries each combination once",
        )  # fmt: skip
    missing = [name for name in NEEDS.get(kind, ()) if not _is_installed(name)]
    if missing:
        packages = " ".join(missing)
        raise SweepError(
            f"hydra/sweeper/{group}", kind, f"it needs the package {packages}",
            f"pip install {packages}",
        )  # fmt: skip


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:
        return False


def _made(group: str, known: Mapping[str, Any], kind: type[Made]) -> Made:
    try:
        # as Python's own lists and mappings: Optuna copies and pickles what it is given
        made = instantiate({"_convert_": "all", **known})
    except Exception as error:
        raise _refused(group, known, error) from None
    if not isinstance(made, kind):
        raise SweepError(
            f"hydra.sweeper.{group}", known["_target_"],
            f"it makes a {type(made).__name__}, not a {kind.__name__}",
            f"a class of optuna.{group}s",
        )  # fmt: skip
    return made


def _refused(group: str, known: Mapping[str, Any], error: Exception) -> SweepError:
    """Return what a class of Optuna's did not like, and what it takes."""
    cause = error.__cause__ or error
    reason = re.sub(r"\s+", " ", str(cause)).strip()
    takes = ", ".join(_arguments(known))
    fix = f"one of its arguments: {takes}" if isinstance(cause, TypeError) and takes else ""
    return SweepError(
        f"hydra.sweeper.{group}", _kind(known) or "auto", reason,
        fix or f"another value, or hydra/sweeper/{group}={DEFAULTS[group]}",
    )  # fmt: skip


@contextlib.contextmanager
def _without_warnings(*more: type[Warning]) -> Iterator[None]:
    """Optuna warns of features that it may change; a person who named one knows."""
    with _filters, warnings.catch_warnings():
        kinds: list[type[Warning]] = [optuna.exceptions.ExperimentalWarning, *more]
        for kind in kinds:
            warnings.simplefilter("ignore", kind)
        yield
