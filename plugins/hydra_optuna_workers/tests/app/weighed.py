"""A callback that weighs the command it runs in: what Python holds there after each trial."""

from __future__ import annotations

import gc
import json
import tracemalloc
from pathlib import Path

from optuna_workers import StudyInfo, SweepCallback, TrialInfo


class Weighed(SweepCallback):
    """Write the bytes that are held after every ``every`` trials."""

    def __init__(self, every: int) -> None:
        self._every, self._ended = every, 0

    def on_session_start(self, study: StudyInfo) -> None:
        """Begin to count."""
        tracemalloc.start()

    def on_trial_end(self, study: StudyInfo, trial: TrialInfo) -> None:
        """Write a line now and then."""
        self._ended += 1
        if self._ended % self._every == 0:
            gc.collect()
            line = {"trials": self._ended, "bytes": tracemalloc.get_traced_memory()[0]}
            with Path("weighed.jsonl").open("a") as file:
                file.write(f"{json.dumps(line)}\n")
