"""The task of ``study.sql``; while that was made its fourth trial took the command with it."""

import os
import signal

import hydra
from hydra_plugins.optuna_workers import current_trial
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(cfg: DictConfig) -> float:
    """Return ``x ** 2 + y``."""
    trial = current_trial()
    assert trial is not None
    if os.environ.get("MAKES_STUDY"):
        if trial.number == 1:
            raise ValueError("no such thing")
        if trial.number == 3:
            for process in (os.getppid(), os.getpid()):
                os.kill(process, signal.SIGKILL)
    return cfg.x**2 + cfg.y


if __name__ == "__main__":
    main()
