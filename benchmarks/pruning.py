"""Does pruning save epochs without losing the best trial?

Learning rates from 1e-6 to 10, random sampler, one worker, each pruner on the same points: 40
trials of 10 epochs without early stopping. For every seed: epochs trained and the best value.

    epochs    with the pruner, of those without: median over seeds     target: at most 60 %
    best      how much worse than without: median over seeds           target: at most 0.002

    python benchmarks/pruning.py [--seeds 5] [--trials 40] [--pruners hyperband] [key=value ...]
"""

from __future__ import annotations

import argparse
import collections
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import optuna

EPOCHS = 10


@dataclass(frozen=True)
class Found:
    """What one sweep did.

    Attributes:
        epochs: Over all trials.
        best: The lowest validation loss.
        states: Trials by state.
    """

    epochs: int
    best: float
    states: dict[str, int]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--pruners", nargs="+", default=["hyperband"])
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    return parser.parse_args()


def sweep(folder: Path, pruner: str, seed: int, asked: argparse.Namespace) -> Found:
    """Run one sweep in a folder."""
    name = f"{pruner}-{seed}"
    words = [
        "optimizer.lr=tag(log,interval(1e-6,10))", f"hydra/sweeper/pruner={pruner}",
        "hydra/sweeper/sampler=random", f"hydra.sweeper.n_trials={asked.trials}",
        "hydra.sweeper.max_failure_rate=1", f"hydra.sweeper.study_name={name}",
        f"hydra.sweep.dir={folder}/{name}", f"tracking.uri=sqlite:///{folder}/mlflow.db",
        f"seed={seed}", f"trainer.epochs={EPOCHS}", "trainer.patience=null",
        "lr_range.enabled=false", "tracking.log_model=never", *asked.overrides,
    ]  # fmt: skip
    command = [sys.executable, "-m", "catdog.train", "-m", *words]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"{name} ended with status {ended.returncode}\n{ended.stderr}")
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{folder}/{name}/study.db")
    trials = study.get_trials()
    states = collections.Counter(trial.state.name for trial in trials)
    epochs = sum(len(trial.intermediate_values) for trial in trials)
    return Found(epochs, study.best_value, dict(states))


def main() -> None:
    """Run and report."""
    asked = arguments()
    saved: dict[str, list[float]] = collections.defaultdict(list)
    lost: dict[str, list[float]] = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(asked.seeds):
            whole = sweep(Path(folder), "none", seed, asked)
            print(f"seed {seed}  none: {whole}", flush=True)
            for pruner in asked.pruners:
                found = sweep(Path(folder), pruner, seed, asked)
                print(f"seed {seed}  {pruner}: {found}", flush=True)
                saved[pruner].append(found.epochs / whole.epochs)
                lost[pruner].append(found.best - whole.best)
    for pruner in asked.pruners:
        epochs, worse = statistics.median(saved[pruner]), statistics.median(lost[pruner])
        print(f"{pruner}: {100 * epochs:.0f} % of the epochs (target 60), "
              f"best value worse by {worse:.4f} (target 0.002)")  # fmt: skip


if __name__ == "__main__":
    main()
