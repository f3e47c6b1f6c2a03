"""``optimization_results.yaml``, in the official plugin's form."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf

from optuna_workers.masking import without_passwords


def write(path: Path, study: optuna.Study) -> None:
    """Write the best trial, or the Pareto front; nothing before a trial has completed.

    Args:
        path: The file, in ``hydra.sweep.dir``.
        study: Optuna's.
    """
    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if not complete:
        return
    found: dict[str, Any] = {"name": "optuna"}
    if len(study.directions) == 1:
        found |= {"best_params": _plain(study.best_params), "best_value": study.best_value}
    else:
        found["solutions"] = _solutions(study.best_trials)
    save_whole(OmegaConf.create(found), path)


def save_whole(config: DictConfig, path: Path) -> None:
    """Write a YAML file so that a reader sees all of it or what was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    held = without_passwords(OmegaConf.to_container(config, resolve=False))
    OmegaConf.save(OmegaConf.create(held), part)
    part.replace(path)


def _solutions(front: list[optuna.trial.FrozenTrial]) -> list[dict[str, Any]]:
    """Return each solution once: trials that took over another's result have the same."""
    solutions: list[dict[str, Any]] = []
    for trial in front:
        solution = {"params": _plain(trial.params), "values": trial.values}
        if solution not in solutions:
            solutions.append(solution)
    return solutions


def _plain(params: dict[str, Any]) -> dict[str, Any]:
    """Return parameters whose texts OmegaConf does not take for interpolations."""
    return {
        name: value.replace("${", r"\${") if isinstance(value, str) else value
        for name, value in params.items()
    }
