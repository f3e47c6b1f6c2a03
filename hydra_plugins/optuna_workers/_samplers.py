"""Optuna's samplers and pruners, made from their config nodes."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import optuna
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.optuna_workers import _groups
from hydra_plugins.optuna_workers._errors import SweepError

SHARED_STREAM = ("CmaEsSampler", "QMCSampler")
"""Their state lies in the study, so all workers need the same seed."""

NEEDS = {"CmaEsSampler": "cmaes", "GPSampler": "torch"}


def make_sampler(
    node: DictConfig,
    number: int,
    seed: int | None,
    *,
    conditional: bool,
    directions: Sequence[str],
) -> optuna.samplers.BaseSampler:
    """Return a trial's sampler.

    A sampler with a seed draws the same values in every worker that has a copy, so each trial
    gets one of its own, seeded by the study's seed and the trial's number.

    Args:
        node: ``hydra.sweeper.sampler``; its own seed wins.
        number: Optuna's number of the trial.
        seed: ``hydra.sweeper.seed``.
        conditional: Whether some keys are swept only at some points.
        directions: One per objective.

    Raises:
        SweepError: the sampler needs a package that is missing.
    """
    known = _plain(node)
    if "_target_" not in known:  # auto
        known = {**_plain(OmegaConf.structured(_groups.TPE)), "seed": known.get("seed")}
    kind = str(known["_target_"]).rpartition(".")[2]
    chosen = known.get("seed") if known.get("seed") is not None else seed
    if "seed" in known:
        known["seed"] = chosen if kind in SHARED_STREAM else stream(chosen, number)
    if kind == "TPESampler" and conditional and known.get("multivariate") is None:
        known.update(multivariate=True, group=True)
    with _without_experimental():
        try:
            return instantiate(known)
        except Exception as error:
            if kind in NEEDS and "No module" in str(error):
                raise _missing(kind) from None
            raise


def check_sampler(node: DictConfig, directions: Sequence[str], *, conditional: bool) -> None:
    """Refuse a sampler that cannot be made, before the first trial."""
    kind = str(_plain(node).get("_target_", "")).rpartition(".")[2]
    package = NEEDS.get(kind)
    if package:
        try:
            __import__(package)
        except ImportError:
            raise _missing(kind) from None
    make_sampler(node, 0, 0, conditional=conditional, directions=directions)


def _missing(kind: str) -> SweepError:
    package = NEEDS[kind]
    return SweepError(
        "hydra/sweeper/sampler", kind, f"it needs the package {package}", f"pip install {package}"
    )


def stream(seed: int | None, number: int) -> int | None:
    """Return the seed of one trial, the same on every machine; none without a seed."""
    if seed is None:
        return None
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def make_pruner(node: DictConfig | None, directions: Sequence[str]) -> optuna.pruners.BasePruner:
    """Return the study's pruner.

    Raises:
        SweepError: a pruner is named and there are several directions.
    """
    known = _plain(node)
    if "_target_" not in known:
        return optuna.pruners.NopPruner()
    if len(directions) > 1:
        name = str(known["_target_"]).rpartition(".")[2]
        raise SweepError(
            "hydra/sweeper/pruner", name, f"there are {len(directions)} directions and a pruner "
            "judges one", "hydra/sweeper/pruner=none",
        )  # fmt: skip
    if known["_target_"].endswith("PatientPruner"):
        known["wrapped_pruner"] = _wrapped(known.pop("wrapped"))
    with _without_experimental():
        try:
            return instantiate(known)
        except (ValueError, TypeError) as error:
            raise SweepError(
                "hydra/sweeper/pruner", known["_target_"], str(error), "another value"
            ) from None
        except Exception as error:
            cause = error.__cause__ or error
            raise SweepError(
                "hydra.sweeper.pruner", known["_target_"].rpartition(".")[2],
                " ".join(str(cause).split()), "another value",
            ) from None  # fmt: skip


def _wrapped(name: str | None) -> Any:
    if name is None:
        return None
    if name not in _groups.PRUNER_NODES or name in ("patient", "none"):
        known = ", ".join(n for n in _groups.PRUNER_NODES if n not in ("patient", "none"))
        raise SweepError("hydra.sweeper.pruner.wrapped", name, "not a pruner", known)
    return _plain(OmegaConf.structured(_groups.PRUNER_NODES[name]))


def _plain(node: Any) -> dict[str, Any]:
    if node is None:
        return {}
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else dict(node)


@contextlib.contextmanager
def _without_experimental() -> Iterator[None]:
    """Optuna warns of features that it may change; a person who named one knows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
