"""A folder in which real sweeps of the stub task run, and what they leave behind."""

from __future__ import annotations

import collections
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.trial import FrozenTrial, TrialState

from tests import quick
from tests.processes import Ended

APP = Path(__file__).parent / "app"
ROOT = Path(__file__).resolve().parents[1]
"""Where the plugin lies."""


@dataclass(frozen=True)
class Span:
    """A trial's time in a task, by the task's own log: to its last sign of life if it died."""

    trial: int
    params: dict[str, Any]
    pid: int
    loop: int
    start: float
    last: float
    finished: bool


@dataclass(frozen=True)
class Stage:
    """Runs the stub and reads what came of it.

    Attributes:
        folder: Where commands run.
        url: The database of all its studies; empty for each study's own.
    """

    folder: Path
    url: str = ""

    def start(
        self, *words: str, host: str = "", app: str | Path = "stub.py", **more: str
    ) -> subprocess.Popen[str]:
        """Start a sweep as one machine would; ``host`` makes it another machine.

        It has a session and process group of its own; ``more`` are environment variables.
        """
        return subprocess.Popen(
            [sys.executable, str(APP / app), *self._words(*words)],
            cwd=self.folder,
            env={**self._env, "STUB_HOST": host, **more},
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _words(self, *words: str) -> list[str]:
        return ["-m", *([f"hydra.sweeper.storage={self.url}"] if self.url else []), *words]

    @property
    def _env(self) -> dict[str, str]:
        return {**os.environ, "STUB_LOG": str(self.log)}

    def _quickly(self, *words: str) -> Ended:
        stub = APP / "stub.py"
        return quick.run(stub, self._words(*words), cwd=self.folder, env=self._env)

    def run(self, *words: str) -> Ended:
        """Run a sweep that must succeed."""
        result = self._quickly(*words)
        assert result.status == 0, result.out + result.err
        return result

    def refused(self, *words: str) -> str:
        """Run a sweep that must not, and return its one message."""
        result = self._quickly(*words)
        assert result.status != 0, result.out + result.err
        assert "Traceback" not in result.err, result.err
        return result.err

    @property
    def log(self) -> Path:
        """Where tasks write down what they do; its path also marks their processes."""
        return self.folder / "tasks.jsonl"

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """Return what tasks wrote."""
        if not self.log.exists():
            return []
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if event in ("", line["event"])]

    def heard(self, hook: str = "") -> list[dict[str, Any]]:
        """Return what callbacks wrote."""
        file = self.folder / "heard.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        return [line for line in lines if hook in ("", line["hook"])]

    def spans(self) -> list[Span]:
        """Return when each run of a task was at work."""
        by_trial = collections.defaultdict(list)
        for line in self.lines():
            by_trial[line["trial"]].append(line)
        spans = []
        for trial, lines in by_trial.items():
            assert [line["event"] for line in lines].count("start") == 1, f"{trial} ran twice"
            first, last = lines[0], lines[-1]
            spans.append(
                Span(trial, first["params"], first["pid"], first["loop"], first["time"],
                     last["time"], last["event"] == "end")
            )  # fmt: skip
        return spans

    def busy(self) -> list[Span]:
        """Return the runs that have begun and not ended, in processes that live."""
        return [s for s in self.spans() if not s.finished and psutil.pid_exists(s.pid)]

    def study(self, name: str = "s") -> optuna.Study:
        """Load a study."""
        url = self.url or f"sqlite:///{self.folder}/sweeps/{name}/study.db"
        return optuna.load_study(study_name=name, storage=url)

    def trials(self, name: str = "s") -> list[FrozenTrial]:
        """Return all of a study's trials."""
        return self.study(name).get_trials()

    def studies(self) -> list[str]:
        """Return the names of the studies that have a folder."""
        return sorted(path.name for path in (self.folder / "sweeps").iterdir())

    def processes(self) -> list[psutil.Process]:
        """Return every living process of this stage's sweeps, orphans too."""
        mine = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("STUB_LOG") == str(self.log):
                    if process.status() != psutil.STATUS_ZOMBIE:
                        mine.append(process)
            except psutil.Error:
                continue
        return mine

    def clear(self) -> None:
        """Leave no process behind."""
        for process in self.processes():
            process.kill()


def check_whole(stage: Stage, n_trials: int, name: str = "s") -> list[FrozenTrial]:
    """Check that a study of a task that never fails has each slot filled exactly once.

    Returns:
        The trials that were lost with their worker.
    """
    trials = stage.trials(name)
    by_slot = collections.defaultdict(list)
    for trial in trials:
        by_slot[trial.user_attrs["slot"]].append(trial)
    assert sorted(by_slot) == list(range(n_trials))
    spans = {span.trial: span for span in stage.spans()}
    for slot, tried in by_slot.items():
        states = [trial.state for trial in tried]
        told = f"slot {slot}: {[(t.number, t.state.name, t.user_attrs) for t in tried]}"
        assert states.count(TrialState.COMPLETE) == 1, told
        assert states.count(TrialState.FAIL) == len(states) - 1, told
        drawn = [trial.params for trial in tried if trial.number in spans]
        assert all(params == drawn[0] for params in drawn), told
        whole = [trial for trial in tried if trial.state == TrialState.COMPLETE][0]
        if "duplicate_of" not in whole.user_attrs:
            assert spans[whole.number].finished, told
            assert spans[whole.number].params == whole.params, told
        ran = sorted((spans[t.number] for t in tried if t.number in spans), key=lambda s: s.start)
        for before, after in zip(ran, ran[1:], strict=False):
            assert before.last <= after.start, f"at the same time: {told}"
    return [trial for trial in trials if trial.state == TrialState.FAIL]
