"""What goes wrong in a trial costs that trial: the sweep goes on, says why, and can be resumed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial

from tests import quick
from tests.stage import ROOT

APP = Path(__file__).with_name("failing_app.py")
TRIALS = [
    "return",
    "raise",
    "odd",
    "nan",
    "none",
    "text",
    "exit0",
    "exit3",
    "prune",
    "die",
    "return2",
]


def command(directory: Path, *arguments: str, app: Path = APP) -> dict[str, Any]:
    """Return how ``subprocess`` starts a sweep of the failing task."""
    found = os.pathsep.join(filter(None, [os.environ.get("SWEEP_TEST_PATH"), str(ROOT)]))
    environment = {**os.environ, "PYTHONPATH": found, "COLUMNS": "300"}
    environment.pop("HYDRA_FULL_ERROR", None)
    line = [sys.executable, str(app), "-m", f"hydra.sweep.dir={directory}", *arguments]
    return {"args": line, "env": environment, "cwd": directory.parent}


@dataclass
class Ran:
    """A sweep that is over."""

    status: int
    said: str
    directory: Path

    @property
    def study(self) -> optuna.Study:
        storage = f"sqlite:///{self.directory}/study.db"
        (name,) = optuna.get_all_study_names(storage)
        return optuna.load_study(study_name=name, storage=storage)

    def trials(self, does: str | None = None) -> list[FrozenTrial]:
        found = self.study.trials
        return [t for t in found if does is None or t.params.get("does") == does]


def sweep(directory: Path, *arguments: str, app: Path = APP) -> Ran:
    """Run a sweep to its end."""
    started = command(directory, *arguments, app=app)
    done = quick.run(app, started["args"][2:], cwd=started["cwd"], env=started["env"])
    return Ran(done.status, done.out + done.err, directory)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One sweep in which every trial but two fails, each in its way."""
    directory = tmp_path_factory.mktemp("failures") / "sweep"
    return sweep(directory, f"does={','.join(TRIALS)}", "hydra.sweeper.max_failure_rate=1")


WAYS = [
    ("raise", "Traceback", "ZeroDivisionError: division by zero"),
    ("odd", "Traceback", "Odd: x=y"),
    ("nan", "", "the task returned nan, not a number"),
    ("none", "", "the task returned None, not a number"),
    ("text", "", "the task returned 'good', not a number"),
    ("exit0", "Traceback", "SystemExit: 0"),
    ("exit3", "Traceback", "SystemExit: 3"),
]


@pytest.mark.parametrize(("does", "first", "last"), WAYS, ids=[way[0] for way in WAYS])
def test_a_failure_costs_one_trial_and_says_why(
    ran: Ran, does: str, first: str, last: str
) -> None:
    (trial,) = ran.trials(does)
    output = (ran.directory / str(trial.number) / "output.log").read_text()
    assert trial.state.name == "FAIL"
    for told in (trial.user_attrs["error"], output):
        assert first in told
        assert told.strip().splitlines()[-1] == last
    assert output.startswith(f"does {does}\n")
    assert f"trial {trial.number} FAIL" in ran.said
    assert last in ran.said


def test_the_sweep_goes_on(ran: Ran) -> None:
    assert ran.status == 0
    assert [t.state.name for t in ran.trials("return2")] == ["COMPLETE"]
    assert "11 of 11 trials" in ran.said
    assert "2 complete  1 pruned  8 failed" in ran.said
    assert ran.study.best_value == 1.0


def test_a_killed_child_is_tried_once_more_with_the_same_values(ran: Ran) -> None:
    trials = ran.trials("die")
    assert [t.state.name for t in trials] == ["FAIL", "FAIL"]
    assert [t.user_attrs["attempt"] for t in trials] == [0, 1]
    assert len({t.user_attrs["slot"] for t in trials}) == 1
    assert all("killed by SIGKILL" in t.user_attrs["error"] for t in trials)
    assert "hydra.sweeper.max_retries=1" in ran.said
    # the line of a failed trial leads to what it printed before it died
    assert f"{ran.directory}/{trials[-1].number}/output.log" in ran.said


def test_a_retry_samples_nothing_new(tmp_path: Path) -> None:
    ran = sweep(
        tmp_path / "sweep", "does=die", "x=interval(0,1)", "hydra.sweeper.n_trials=2",
        "hydra.sweeper.max_failure_rate=1", "hydra.sweeper.max_retries=2",
    )  # fmt: skip
    points: dict[int, list[float]] = {}
    for trial in ran.trials():
        points.setdefault(trial.user_attrs["slot"], []).append(trial.params["x"])
    assert {slot: len(tries) for slot, tries in points.items()} == {0: 3, 1: 3}
    assert all(len(set(tries)) == 1 for tries in points.values())
    assert points[0][0] != points[1][0]


def test_pruned_is_a_result_and_no_failure(ran: Ran) -> None:
    (trial,) = ran.trials("prune")
    assert trial.state.name == "PRUNED"
    assert trial.intermediate_values == {1: 5.0}
    assert "error" not in trial.user_attrs
    assert f"trial {trial.number} PRUNED" in ran.said


def test_pruned_trials_never_abort_a_sweep(tmp_path: Path) -> None:
    ran = sweep(tmp_path / "s", "does=prune", "x=1,2,3", "hydra.sweeper.max_failure_rate=0")
    assert ran.status == 0
    assert [t.state.name for t in ran.trials()] == ["PRUNED"] * 3


def test_too_many_failures_stop_the_sweep(tmp_path: Path) -> None:
    rate = "hydra.sweeper.max_failure_rate=0.4"
    ran = sweep(tmp_path / "sweep", "does=raise", "x=range(10)", rate)
    assert ran.status == 1
    assert len(ran.trials()) == 5  # 4 of 10 are allowed
    message = "5 of 10 trials failed, more than hydra.sweeper.max_failure_rate=0.4 allows"
    assert f"{message}; the last: ZeroDivisionError: division by zero" in ran.said
    assert "Traceback" not in ran.said


@pytest.mark.parametrize(
    ("directions", "does", "values"),
    [("[minimize,maximize]", "return", 1), ("minimize", "two", 2)],
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_wrong_number_of_values_stops_after_the_first_trial(
    tmp_path: Path, directions: str, does: str, values: int, jobs: int
) -> None:
    ran = sweep(
        tmp_path / "sweep", f"hydra.sweeper.direction={directions}", f"does={does}", "x=range(20)",
        f"hydra.sweeper.n_jobs={jobs}",
    )  # fmt: skip
    assert ran.status == 1
    assert 1 <= len(ran.trials()) <= jobs
    message = rf"hydra\.sweeper\.direction=.*: the task returned {values} value\(s\).*\n"
    assert len(re.findall(message, ran.said)) == 1
    assert "return one value per direction" in ran.said
    assert "Traceback" not in ran.said


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A sweep whose first trial sleeps."""
    started = command(tmp_path / "sweep", "does=sleep,return,return2")
    with subprocess.Popen(
        **started, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        output = tmp_path / "sweep/0/output.log"
        while not output.exists() or "sleeping" not in output.read_text():
            assert process.poll() is None
            time.sleep(0.05)
        yield process
        process.kill()


@pytest.fixture
def hides(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the task's own tidying up hide that it was interrupted, or not."""
    monkeypatch.setenv("FAILING_APP_HIDES", request.param)


@pytest.mark.slow
@pytest.mark.parametrize("hides", ["", "1"], indirect=True, ids=["", "hidden"])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
def test_what_is_interrupted_is_given_back_and_the_same_command_finishes(
    tmp_path: Path,
    hides: None,
    running: subprocess.Popen[str],
    sent: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running.send_signal(sent)
    said, _ = running.communicate(timeout=30)
    assert running.returncode in (-signal.SIGINT, 130)
    assert "interrupted; the same command goes on with failing_app-" in said
    monkeypatch.setenv("FAILING_APP_NAP", "0")  # the same command, but it wakes up at once
    ran = sweep(tmp_path / "sweep", "does=sleep,return,return2")
    assert ran.status == 0
    assert "0 of 3 trials have ended" in ran.said
    states = [(t.params["does"], t.state.name, t.user_attrs["attempt"]) for t in ran.trials()]
    assert states == [
        ("sleep", "FAIL", 0),  # interrupted: not one of the three, and no attempt used up
        ("sleep", "COMPLETE", 0),
        ("return", "COMPLETE", 0),
        ("return2", "COMPLETE", 0),
    ]
    assert ran.trials()[0].user_attrs["error"] == "interrupted"
    assert "3 of 3 trials" in ran.said
