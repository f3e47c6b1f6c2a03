"""Goes down Rosenbrock's valley; ``python app.py -m`` searches for how to do that."""

import hydra
import optuna
from omegaconf import DictConfig
from optuna_workers import current_trial


@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(cfg: DictConfig) -> float:
    """Take some steps, and return how high above the lowest point they end."""
    trial = current_trial()  # None outside of a sweep
    x = y = vx = vy = height = 0.0
    keep = cfg.momentum if cfg.method == "momentum" else 0.0
    for step in range(cfg.steps):
        vx = keep * vx + 2 * (1 - x) + 400 * x * (y - x**2)
        vy = keep * vy - 200 * (y - x**2)
        x, y = x + cfg.lr * vx, y + cfg.lr * vy
        height = (1 - x) ** 2 + 100 * (y - x**2) ** 2
        if trial is not None and step % 20 == 0:
            trial.status(f"step {step}")  # shown in the live table
            trial.report(height, step)
            if trial.should_prune():
                raise optuna.TrialPruned
    return height


if __name__ == "__main__":
    main()
