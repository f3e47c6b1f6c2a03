"""A command's memory does not grow with its trials, but for what Optuna knows of each."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.stage import Stage

TRIALS = int(os.environ.get("MEMORY_TRIALS", "30"))
"""Trials that are weighed; more tell more, and take longer."""

MOST = 9_000
"""Bytes by which a command may grow with each trial: Optuna keeps 2 kB for each worker."""


@pytest.mark.slow
@pytest.mark.parametrize("isolation", ["none", "process"])
def test_a_command_does_not_grow_with_its_trials(stage: Stage, isolation: str) -> None:
    every = TRIALS // 3
    stage.run(
        "x=interval(0,1)", "y=range(0,9)", "hydra/sweeper/sampler=random",
        f"hydra.sweeper.n_trials={TRIALS}", f"hydra.sweeper.isolation={isolation}",
        f"+hydra.sweeper.callbacks.weighed={{_target_: weighed.Weighed, every: {every}}}",
    )  # fmt: skip
    lines = Path(stage.folder, "weighed.jsonl").read_text().splitlines()
    first, *_, last = (json.loads(line) for line in lines)
    grown = (last["bytes"] - first["bytes"]) / (last["trials"] - first["trials"])
    assert grown < MOST, f"{grown:.0f} bytes a trial: {lines}"
