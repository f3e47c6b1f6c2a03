"""The task of ``study.sql``; there its fourth trial took the command with it."""

import hydra
from hydra_plugins.optuna_workers import current_trial
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(cfg: DictConfig) -> float:
    """Return ``x ** 2 + y``."""
    assert current_trial() is not None
    return cfg.x**2 + cfg.y


if __name__ == "__main__":
    main()
