"""The options of ``hydra/sweeper/sampler`` and ``hydra/sweeper/pruner``.

They are plain mappings, not dataclasses, so that a configuration may add an argument of Optuna's
to an option, or put a ``_target_`` of its own in its place. A null argument is left to Optuna.
"""

from __future__ import annotations

from typing import Any

from hydra.core.config_store import ConfigStore

from optuna_workers.config import PROVIDER

SAMPLERS: dict[str, dict[str, Any]] = {
    # every combination where only lists are swept, else tpe
    "auto": {"name": "auto", "seed": None},
    # every combination, each once, counted by the plugin
    "grid": {"name": "grid", "seed": None},
    "brute_force": {"name": "brute_force", "seed": None},
    "tpe": {
        "_target_": "optuna.samplers.TPESampler",
        "seed": None,
        "n_startup_trials": 10,
        "n_ei_candidates": 24,
        "multivariate": None,
        "group": None,  # null: where there are conditions
        "constant_liar": True,
        "consider_prior": None,
        "prior_weight": None,
        "consider_magic_clip": None,
        "consider_endpoints": None,
        "warn_independent_sampling": None,
    },
    "random": {"_target_": "optuna.samplers.RandomSampler", "seed": None},
    # for numbers; choices are drawn at random
    "cmaes": {
        "_target_": "optuna.samplers.CmaEsSampler",
        "seed": None,
        "x0": None,
        "sigma0": None,
        "n_startup_trials": 1,
        "independent_sampler": None,
        "consider_pruned_trials": False,
        "popsize": None,
        "restart_strategy": None,
        "inc_popsize": None,
        "use_separable_cma": False,
        "with_margin": False,
        "lr_adapt": False,
        "source_trials": None,
        "warn_independent_sampling": False,
    },
    "gp": {
        "_target_": "optuna.samplers.GPSampler",
        "seed": None,
        "n_startup_trials": 10,
        "deterministic_objective": False,
        "independent_sampler": None,
        "warn_independent_sampling": False,
    },
    "qmc": {
        "_target_": "optuna.samplers.QMCSampler",
        "seed": None,
        "qmc_type": "sobol",
        "scramble": True,
        "independent_sampler": None,
        "warn_asynchronous_seeding": False,
        "warn_independent_sampling": False,
    },
    "nsgaii": {
        "_target_": "optuna.samplers.NSGAIISampler",
        "seed": None,
        "population_size": 50,
        "mutation_prob": None,
        "crossover_prob": 0.9,
        "swapping_prob": 0.5,
        "constraints_func": None,
    },
    # holds some keys at values, and draws the others by another sampler
    "partial_fixed": {
        "_target_": "optuna.samplers.PartialFixedSampler",
        "seed": None,
        "fixed_params": None,  # values by key
        "base_sampler": "auto",  # an option of this group, or a node of its own
    },
}

PRUNERS: dict[str, dict[str, Any]] = {
    "none": {"name": "none"},
    "median": {
        "_target_": "optuna.pruners.MedianPruner",
        "n_startup_trials": 5,
        "n_warmup_steps": 0,
        "interval_steps": 1,
        "n_min_trials": 1,
    },
    # keeps a trial that is among the best so many per cent at its step
    "percentile": {
        "_target_": "optuna.pruners.PercentilePruner",
        "percentile": 25.0,
        "n_startup_trials": 5,
        "n_warmup_steps": 0,
        "interval_steps": 1,
        "n_min_trials": 1,
    },
    # max_resource: the steps of a whole trial
    "hyperband": {
        "_target_": "optuna.pruners.HyperbandPruner",
        "min_resource": 1,
        "max_resource": "${oc.select:hydra.sweeper.max_steps,auto}",
        "reduction_factor": 3,
        "bootstrap_count": 0,
    },
    "successive_halving": {
        "_target_": "optuna.pruners.SuccessiveHalvingPruner",
        "min_resource": "auto",
        "reduction_factor": 4,
        "min_early_stopping_rate": 0,
        "bootstrap_count": 0,
    },
    # holds another pruner back until a trial has not improved for so many steps
    "patient": {
        "_target_": "optuna.pruners.PatientPruner",
        "wrapped": "median",  # an option of this group, or a node of its own, or null
        "patience": 3,
        "min_delta": 0.0,
        "max_resource": "${oc.select:hydra.sweeper.max_steps,auto}",  # of a wrapped hyperband
    },
    # stops what leaves the bounds; one of them must be given
    "threshold": {
        "_target_": "optuna.pruners.ThresholdPruner",
        "lower": None,
        "upper": None,
        "n_warmup_steps": 0,
        "interval_steps": 1,
    },
    # for steps that are repetitions or folds
    "wilcoxon": {
        "_target_": "optuna.pruners.WilcoxonPruner",
        "p_threshold": 0.1,
        "n_startup_steps": 2,
    },
}


def register() -> None:
    """Tell Hydra of the options."""
    for group, options in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        for option, node in options.items():
            ConfigStore.instance().store(
                group=f"hydra/sweeper/{group}", name=option, node=node, provider=PROVIDER
            )
