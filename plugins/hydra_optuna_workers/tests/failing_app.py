"""A task that fails in the way it is told to."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from optuna_workers import current_trial


@dataclass
class Config:
    """What the tests sweep."""

    defaults: list[Any] = field(
        default_factory=lambda: ["_self_", {"override hydra/sweeper": "optuna_workers"}]
    )
    x: float = 1.0
    y: float = 0.0
    does: str = "return"


ConfigStore.instance().store(name="config", node=Config)


class Odd(Exception):
    """Pickles, but does not unpickle."""

    def __init__(self, key: str, found: str) -> None:
        super().__init__(f"{key}={found}")


def odd() -> None:
    """Fail with an error that cannot travel to the parent."""
    raise Odd("x", "y")


def prune() -> None:
    """End as pruned after one report, as a training loop would."""
    import optuna

    trial = current_trial()
    assert trial is not None
    trial.report(5.0, 1)
    raise optuna.TrialPruned


def sleep(seconds: float) -> None:
    """Say on stdout that the task runs, then take a while; tidying up may fail."""
    print("sleeping", flush=True)
    try:
        time.sleep(seconds)
    finally:
        if os.environ.get("FAILING_APP_HIDES") and sys.exc_info()[0]:
            raise AttributeError("half tidied up")


FAILURES = {
    "raise": lambda: 1 / 0,
    "odd": odd,
    "exit0": lambda: sys.exit(0),
    "exit3": lambda: sys.exit(3),
    "die": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "prune": prune,
    "sleep": lambda: sleep(float(os.environ.get("FAILING_APP_NAP", "60"))),
}
RETURNED = {"nan": float("nan"), "none": None, "text": "good", "two": (1.0, 2.0)}


@hydra.main(version_base="1.3", config_path=None, config_name="config")
def main(config: Config) -> Any:
    """Return ``x``, or fail."""
    print(f"does {config.does}")
    if config.does in FAILURES:
        FAILURES[config.does]()
    return RETURNED.get(config.does, config.x)


if __name__ == "__main__":
    main()
