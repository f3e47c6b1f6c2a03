"""The task of benchmarks/sweeper.py: sleeps for its slot's time, and writes down when it ran."""

from __future__ import annotations

import os
import random
import time

import hydra
import psutil
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig

# log: where to write; slot: whose time to sleep, in units; x: something to sample
NODE = {"log": "???", "slot": 0, "unit": 0.0, "x": 0.0}
ConfigStore.instance().store(name="sweeper_app", node=NODE)


def lengths(count: int) -> list[int]:
    """Return how long each task takes, in units: one in five takes 5, the others 1."""
    units = [1 if k % 5 else 5 for k in range(count)]
    random.Random(0).shuffle(units)
    return units


LENGTHS = lengths(80)


def task(cfg: DictConfig) -> float:
    """Sleep, or do nothing where the unit is 0; then add a line to the log.

    The line holds start, end, and the processor time that this process and its parent have used
    at the start: in a child, the parent is the sweeper; elsewhere it only waits.
    """
    parent = psutil.Process(os.getppid()).cpu_times()
    processor = time.process_time() + parent.user + parent.system
    begun = time.monotonic()
    if cfg.unit:
        time.sleep(LENGTHS[cfg.slot] * cfg.unit)
    file = os.open(cfg.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{begun} {time.monotonic()} {processor}\n".encode())
    os.close(file)
    return float(cfg.x)


main = hydra.main(version_base=None, config_path=None, config_name="sweeper_app")(task)

if __name__ == "__main__":
    main()
