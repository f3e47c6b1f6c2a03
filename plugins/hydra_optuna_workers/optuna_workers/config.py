"""The sweeper's keys: a superset of the official plugin's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any  # noqa: UP035  (OmegaConf reads these hints)

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

PROVIDER = "optuna_workers"

ENUMERATING = ("auto", "grid", "brute_force")
"""Samplers that are no class of Optuna's: combinations are counted through; all but ``auto``
need lists.
"""


@dataclass
class OptunaWorkersConf:
    """What can be set under ``hydra.sweeper``; the plugin's README explains each key."""

    _target_: str = "hydra_plugins.optuna_workers.sweeper.OptunaSweeper"
    _recursive_: bool = False
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "auto"}, {"pruner": "none"}])

    sampler: Any = MISSING
    pruner: Any = MISSING
    direction: Any = "minimize"
    storage: str | None = None
    study_name: str | None = None
    n_trials: int | None = None
    n_jobs: int | None = None
    max_failure_rate: float = 0.5
    params: dict[str, Any] | None = field(default_factory=dict)
    when: dict[str, Any] | None = field(default_factory=dict)
    enqueue: list[Any] | None = None
    custom_search_space: str | None = None
    isolation: str = "process"
    preload: str | None = None
    max_trials_per_worker: int | None = 50
    max_retries: int = 1
    lease_seconds: float = 60.0
    timeout: float | None = None
    patience: int | None = None
    duplicates: str = "reuse"
    output: str = "file"
    callbacks: dict[str, Any] | None = field(default_factory=dict)
    seed: int | None = None
    max_steps: int | None = None


def register() -> None:
    """Tell Hydra of the sweeper under both its names."""
    for name in ("optuna", "optuna_workers"):
        ConfigStore.instance().store(
            group="hydra/sweeper", name=name, node=OptunaWorkersConf, provider=PROVIDER
        )
