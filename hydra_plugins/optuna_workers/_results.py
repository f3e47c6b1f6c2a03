"""``optimization_results.yaml``, in the official plugin's form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
from omegaconf import OmegaConf


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
        found |= {"best_params": study.best_trial.params, "best_value": study.best_value}
    else:
        front = study.best_trials
        found["solutions"] = [{"params": trial.params, "values": trial.values} for trial in front]
    OmegaConf.save(OmegaConf.create(found), path)
