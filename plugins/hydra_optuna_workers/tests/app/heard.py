"""Callbacks that write down what they hear."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from optuna_workers import StudyInfo, SweepCallback, TrialInfo


class Heard(SweepCallback):
    """Writes a line per hook to the file beside the stub's log."""

    def __init__(self, name: str = "heard", slow: float = 0.0, wait_for: str = "") -> None:
        self._name, self._slow, self._wait_for = name, slow, wait_for

    def _note(self, hook: str, **facts: object) -> None:
        path = os.environ["STUB_LOG"].replace("tasks.jsonl", "heard.jsonl")
        line = json.dumps({"hook": hook, "name": self._name, "pid": os.getpid(), **facts})
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{line}\n".encode())
        os.close(file)

    def on_study_start(self, study: StudyInfo) -> Mapping[str, str]:
        """Take a while, so that others come meanwhile."""
        self._note("study_start")
        time.sleep(self._slow)
        folder, end = Path(os.environ["STUB_LOG"]).parent, time.monotonic() + 60
        while self._wait_for and not list(folder.glob(self._wait_for)):
            assert time.monotonic() < end, f"no {self._wait_for}"
            time.sleep(0.02)
        return {self._name: str(os.getpid())}

    def on_session_start(self, study: StudyInfo) -> None:
        """Note what is shared."""
        self._note("session_start", shared=study.shared)

    def on_trial_start(self, study: StudyInfo, trial: TrialInfo) -> None:
        """Note the trial."""
        self._note("trial_start", trial=trial.number, slot=trial.slot)

    def on_trial_end(self, study: StudyInfo, trial: TrialInfo) -> None:
        """Note how it ended."""
        self._note(
            "trial_end", trial=trial.number, slot=trial.slot, state=trial.state,
            values=trial.values, error=trial.error[-300:], duplicate_of=trial.duplicate_of,
        )  # fmt: skip

    def on_study_end(self, study: StudyInfo) -> None:
        """Note whether all slots ended, and by how many trials."""
        self._note("study_end", finished=study.finished, ended=len(study.trials()))
