"""The task of benchmarks/sweeper.py, and the plain loop that the plugin is compared with.

With ``-m`` the plugin runs the task; without it ``loop`` does, on the same configuration.
"""

from __future__ import annotations

import os
import random
import sys
import time

import hydra
import optuna
import psutil
from hydra._internal.callbacks import Callbacks
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, open_dict

NAME = "sweeper_app"

# log: where to write; slot: whose time to sleep, in units of seconds; x: something to sample
NODE = {"log": "???", "slot": 0, "unit": 0.0, "x": 0.0}
ConfigStore.instance().store(name=NAME, node=NODE)


def lengths(count: int) -> list[int]:
    """Return how long each task takes, in units: one in five takes 5, the others 1."""
    units = [1 if k % 5 else 5 for k in range(count)]
    random.Random(0).shuffle(units)
    return units


LENGTHS = lengths(80)


def task(cfg: DictConfig) -> float:
    """Sleep, or do nothing where the unit is 0; then add a line to the log.

    The line holds start, end, and the processor time that this process and its parent had used at
    the start: a child's parent is the sweeper; that of any other process only waits.
    """
    parent = psutil.Process(os.getppid()).cpu_times()
    processor = time.process_time() + parent.user + parent.system
    start = time.monotonic()
    if cfg.unit:
        time.sleep(LENGTHS[cfg.slot] * cfg.unit)
    file = os.open(cfg.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{start} {time.monotonic()} {processor}\n".encode())
    os.close(file)
    return float(cfg.x)


def loop(overrides: list[str]) -> None:
    """Run trials with nothing but Hydra and Optuna."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with hydra.initialize(version_base=None, config_path=None, job_name=NAME):
        known = GlobalHydra.instance().hydra
        assert known is not None
        words = [*overrides, "hydra.mode=MULTIRUN"]
        config = known.compose_config(NAME, words, RunMode.MULTIRUN)
        context = HydraContext(known.config_loader, Callbacks())
        study = optuna.create_study(
            storage=f"sqlite:///{config.hydra.sweep.dir}/study.db",
            study_name=config.hydra.sweeper.study_name,
            sampler=optuna.samplers.RandomSampler(0),
        )
        for _ in range(config.hydra.sweeper.n_trials):
            run_trial(study, context, config)


def run_trial(study: optuna.Study, context: HydraContext, config: DictConfig) -> None:
    """Run one."""
    trial = study.ask()
    overrides = [*config.hydra.overrides.task, f"x={trial.suggest_float('x', 0, 1)}"]
    composed = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(composed):
        composed.hydra.job.id = composed.hydra.job.num = trial.number
    job = run_job(task, composed, "hydra.sweep.dir", "hydra.sweep.subdir", context)
    study.tell(trial, job.return_value)


main = hydra.main(version_base=None, config_path=None, config_name=NAME)(task)

if __name__ == "__main__":
    if "-m" in sys.argv:
        main()
    else:
        loop(sys.argv[1:])
