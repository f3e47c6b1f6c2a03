"""The options of ``hydra/sweeper/sampler`` and ``hydra/sweeper/pruner``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any  # noqa: UP035  (OmegaConf reads these hints)

from hydra.core.config_store import ConfigStore

PROVIDER = "optuna_workers"
SAMPLERS, PRUNERS = "optuna.samplers", "optuna.pruners"


@dataclass
class Auto:
    """Every combination where only lists are swept, else TPE."""

    name: str = "auto"
    seed: int | None = None


@dataclass
class Grid(Auto):
    """Every combination, each once, counted by the plugin."""

    name: str = "grid"


@dataclass
class BruteForce(Auto):
    """The same as grid."""

    name: str = "brute_force"


@dataclass
class TPE:
    """Tree-structured Parzen estimator."""

    _target_: str = f"{SAMPLERS}.TPESampler"
    seed: int | None = None
    n_startup_trials: int = 10
    n_ei_candidates: int = 24
    multivariate: bool | None = None
    constant_liar: bool = True


@dataclass
class Random:
    """Independent draws."""

    _target_: str = f"{SAMPLERS}.RandomSampler"
    seed: int | None = None


@dataclass
class CmaEs:
    """Covariance matrix adaptation; needs the package cmaes, for numbers only."""

    _target_: str = f"{SAMPLERS}.CmaEsSampler"
    seed: int | None = None
    sigma0: float | None = None
    n_startup_trials: int = 1
    consider_pruned_trials: bool = False
    use_separable_cma: bool = False
    with_margin: bool = False
    warn_independent_sampling: bool = False


@dataclass
class GP:
    """Gaussian process; needs the package torch."""

    _target_: str = f"{SAMPLERS}.GPSampler"
    seed: int | None = None
    n_startup_trials: int = 10
    deterministic_objective: bool = False
    warn_independent_sampling: bool = False


@dataclass
class QMC:
    """A low-discrepancy sequence."""

    _target_: str = f"{SAMPLERS}.QMCSampler"
    seed: int | None = None
    qmc_type: str = "sobol"
    scramble: bool = True
    warn_asynchronous_seeding: bool = False
    warn_independent_sampling: bool = False


@dataclass
class NSGAII:
    """Genetic search for several objectives."""

    _target_: str = f"{SAMPLERS}.NSGAIISampler"
    seed: int | None = None
    population_size: int = 50
    mutation_prob: float | None = None
    crossover_prob: float = 0.9
    swapping_prob: float = 0.5


@dataclass
class NoPruner:
    """Every trial runs to its end."""

    name: str = "none"


@dataclass
class Median:
    """Stops what is worse than the median of the trials before at the same step."""

    _target_: str = f"{PRUNERS}.MedianPruner"
    n_startup_trials: int = 5
    n_warmup_steps: int = 0
    interval_steps: int = 1
    n_min_trials: int = 1


@dataclass
class Percentile(Median):
    """Keeps the best so many per cent at each step."""

    _target_: str = f"{PRUNERS}.PercentilePruner"
    percentile: float = 25.0


@dataclass
class Hyperband:
    """Successive halving in several brackets; steps count from 1 to ``max_resource``."""

    _target_: str = f"{PRUNERS}.HyperbandPruner"
    min_resource: int = 1
    max_resource: Any = "${oc.select:hydra.sweeper.max_steps,auto}"
    reduction_factor: int = 3
    bootstrap_count: int = 0


@dataclass
class SuccessiveHalving:
    """Asynchronous successive halving."""

    _target_: str = f"{PRUNERS}.SuccessiveHalvingPruner"
    min_resource: Any = "auto"
    reduction_factor: int = 4
    min_early_stopping_rate: int = 0
    bootstrap_count: int = 0


@dataclass
class Patient:
    """Holds another pruner back until a trial has not improved for so many steps."""

    _target_: str = f"{PRUNERS}.PatientPruner"
    wrapped: str | None = "median"
    patience: int = 3
    min_delta: float = 0.0


@dataclass
class Threshold:
    """Stops what leaves given bounds; name one of them."""

    _target_: str = f"{PRUNERS}.ThresholdPruner"
    lower: float | None = None
    upper: float | None = None
    n_warmup_steps: int = 0
    interval_steps: int = 1


@dataclass
class Wilcoxon:
    """Compares step by step with the best trial; for steps that are repetitions or folds."""

    _target_: str = f"{PRUNERS}.WilcoxonPruner"
    p_threshold: float = 0.1
    n_startup_steps: int = 2


SAMPLER_NODES = {
    "auto": Auto, "tpe": TPE, "random": Random, "grid": Grid, "cmaes": CmaEs, "gp": GP,
    "qmc": QMC, "nsgaii": NSGAII, "brute_force": BruteForce,
}  # fmt: skip
PRUNER_NODES = {
    "none": NoPruner, "median": Median, "percentile": Percentile, "hyperband": Hyperband,
    "successive_halving": SuccessiveHalving, "patient": Patient, "threshold": Threshold,
    "wilcoxon": Wilcoxon,
}  # fmt: skip


def register() -> None:
    """Tell Hydra of the options."""
    for group, nodes in (("sampler", SAMPLER_NODES), ("pruner", PRUNER_NODES)):
        for option, node in nodes.items():
            ConfigStore.instance().store(
                group=f"hydra/sweeper/{group}", name=option, node=node, provider=PROVIDER
            )
