"""A task that takes a while or fails, as it is told, and writes down when it ran and where."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig
from optuna_workers import Postponed, current_trial

EVERY = 0.05

if host := os.environ.get("STUB_HOST"):  # another machine, as far as the sweeper can tell
    socket.gethostname = lambda: host


def note(event: str, cfg: DictConfig) -> None:
    """Append a line to the log; lines of several processes do not mix."""
    trial = current_trial()
    assert trial is not None
    line = {
        "event": event,
        "trial": trial.number,
        "params": dict(trial.params),
        "pid": os.getpid(),
        "loop": os.getppid(),
        "time": time.time(),
        "cores": os.environ.get("OMP_NUM_THREADS"),
    }
    file = os.open(os.environ["STUB_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{json.dumps(line)}\n".encode())
    os.close(file)


def work(cfg: DictConfig) -> None:
    """Take ``sleep`` seconds, and say now and then that it is still at it."""
    end = time.monotonic() + cfg.sleep
    while (left := end - time.monotonic()) > 0:
        try:
            time.sleep(min(EVERY, left))
            note("tick", cfg)
        except KeyboardInterrupt:
            if cfg.does != "stubborn":  # as a long call into a library does
                raise


def learn(cfg: DictConfig) -> float:
    """Report ``steps`` values that approach the trial's own; stop when pruned."""
    from optuna import TrialPruned

    trial = current_trial()
    assert trial is not None
    for step in range(cfg.steps):
        note("step", cfg)
        value = cfg.x + 1 / (step + 1)
        trial.report(value, step)
        trial.status(f"step {step}")
        if trial.should_prune():
            raise TrialPruned
    return cfg.x


def die() -> None:
    """End as the kernel ends who takes too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_once() -> float:
    """Die in the first trial that comes here, never again."""
    file = Path(os.environ["STUB_LOG"]).with_suffix(".died")
    if not file.exists():
        file.touch()
        die()
    return 0.0


def wait_for_others() -> None:
    """Take until the five others have ended; in batches they would never begin."""
    end, log = time.monotonic() + 60, Path(os.environ["STUB_LOG"])
    while log.read_text().count('"event": "end"') < 5:
        if time.monotonic() > end:
            raise TimeoutError("the others wait for this one")
        time.sleep(EVERY)


RETURNED: dict[str, Any] = {
    "nan": float("nan"),
    "none": None,
    "text": "good",
    "one": 1.0,
    "two": (1.0, 2.0),
    "three": [1.0, 2.0, 3.0],
}


def postpone(times: int) -> float:
    """Say that something is away, as often as told; 0 is always."""
    file = Path(os.environ["STUB_LOG"]).with_suffix(".postponed")
    before = len(file.read_text()) if file.exists() else 0
    if times and before >= times or os.environ.get("STUB_BACK"):
        return 0.0
    file.write_text("x" * (before + 1))
    raise Postponed("the license server does not answer")


DONE = {
    "postponed2": lambda: postpone(2),
    "postponed": lambda: postpone(0),
    "writes": lambda: Path(os.environ["STUB_FILE"]).write_text("x"),
    "raise": lambda: 1 / 0,
    "exit0": lambda: sys.exit(0),
    "exit3": lambda: sys.exit(3),
    "die": die,
    "waits": wait_for_others,
    "die_once": die_once,
    "interrupt": lambda: os.kill(os.getpid(), signal.SIGINT),
}


def preload(cfg: DictConfig) -> None:
    """Write down that it was called, and in which process."""
    folder = Path(os.environ["STUB_LOG"]).parent
    (folder / f"preloaded.{os.getpid()}").write_text(cfg.does)
    if cfg.does == "unloadable":
        raise RuntimeError("no such library")


@hydra.main(version_base="1.3", config_path="conf", config_name="stub")
def main(cfg: DictConfig) -> Any:
    """Return ``(x - 1) ** 2 + y + kind.offset``, or do what ``does`` says."""
    note("start", cfg)
    print(f"does {cfg.does}")
    work(cfg)
    if cfg.does in DONE:
        DONE[cfg.does]()
    value = learn(cfg) if cfg.steps else (cfg.x - 1) ** 2 + cfg.y + cfg.kind.offset
    note("end", cfg)
    return RETURNED.get(cfg.does, value)


if __name__ == "__main__":
    main()
