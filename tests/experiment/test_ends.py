"""Runs and sweeps that a signal ends at any moment: nothing stays RUNNING, and they go on."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from conftest import Lab, ended, succeeded
from optuna.trial import FrozenTrial, TrialState
from optuna_workers.workers import signals

from catdog.progress import Watcher
from catdog.tracking import Tracker, names

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

REPEATS = int(os.environ.get("KILL_REPEATS", "2"))
WAYS = [(signal.SIGHUP,), (signal.SIGINT, signal.SIGINT), (signal.SIGTERM,)]
"""What a closed terminal, an impatient person and a service manager send."""

RANDOM = random.SystemRandom()  # fixtures seed the other one
N_TRIALS = 3
SWEEP = ("hydra.sweeper.study_name=s", "hydra.sweeper.max_retries=0")
COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "run": ("train", ()),
    "sweep": ("train", ("-m", *SWEEP, "optimizer.lr=1e-4,1e-3,1e-2")),
    "search": ("sweep", ("smoke", *SWEEP, f"hydra.sweeper.n_trials={N_TRIALS}")),
}
COUNTED = (TrialState.COMPLETE, TrialState.PRUNED)
LATEST = 16.0
"""Seconds after its start up to which a command is ended; one that is over by then is whole."""


def start(lab: Lab, kind: str) -> subprocess.Popen[str]:
    module, words = COMMANDS[kind]
    chosen = lab.overrides(
        lr_range__enabled="false", trainer__epochs=2, tracking__log_model="never"
    )
    if kind == "search":  # it chooses the rates itself
        chosen = [word for word in chosen if not word.startswith("optimizer.lr=")]
    elif kind == "sweep":
        chosen.remove("optimizer.lr=0.003")
    place = lab.folder / "hydra"
    folders = (f"hydra.run.dir={place}", f"hydra.sweep.dir={place}")
    return lab.command(module, *words[:1], *chosen, *words[1:], *folders)


def send(command: subprocess.Popen[str], way: tuple[signal.Signals, ...]) -> None:
    """Send signals to the whole group, as a terminal does."""
    for index, number in enumerate(way):
        if index:
            time.sleep(RANDOM.uniform(0.1, 1))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(command.pid, number)


def trials(lab: Lab) -> list[FrozenTrial]:
    database = lab.folder / "hydra/study.db"
    if not database.exists():
        return []
    url = f"sqlite:///{database}"
    known = optuna.get_all_study_names(url)
    return optuna.load_study(study_name=known[0], storage=url).get_trials() if known else []


def check_ended(lab: Lab, told: str) -> tuple[int, int]:
    """Check that nothing is RUNNING; return how many runs and trials there are."""
    runs = lab.runs()
    assert "RUNNING" not in [run.status for run in runs], told
    assert {trial.state for trial in trials(lab)} <= {*COUNTED, TrialState.FAIL}, told
    assert {trial.user_attrs["attempt"] for trial in trials(lab)} <= {0}, told
    return len(runs), len(trials(lab))


def check_whole(lab: Lab, kind: str, told: str) -> None:
    """Check that a command that has gone on has done exactly what was asked of it."""
    runs = lab.runs()
    if kind == "run":
        assert "FINISHED" in [run.status for run in runs], told
        return
    whole = [trial for trial in trials(lab) if trial.state in COUNTED]
    assert sorted(trial.user_attrs["slot"] for trial in whole) == [*range(N_TRIALS)], told
    states = [state.name for state in COUNTED]
    (parent,) = [run for run in runs if run.tags[names.KIND] == "sweep"]
    assert parent.status == "FINISHED", told
    counted = [run.id for run in runs if run.tags.get(names.STATE) in states]
    assert sorted(counted) == sorted(trial.user_attrs[names.RUN_ID] for trial in whole), told


def endure(lab: Lab, kind: str, way: tuple[signal.Signals, ...]) -> str:
    """End a command at a random moment; the same command goes on; return what happened."""
    moment = RANDOM.uniform(1, LATEST)
    command = start(lab, kind)
    with contextlib.suppress(subprocess.TimeoutExpired):
        command.wait(moment)
    send(command, way)
    said = ended(command, timeout=90)
    told = f"{kind}: {'+'.join(number.name for number in way)} after {moment:.2f} s"
    told = f"{told}: status {said.status}"
    # before Python takes signals the system ends it; and it may be over already
    assert said.status in (0, 130, *(-number for number in way)), f"{told}\n{said.err}"
    if said.status == 130:
        assert "Traceback" not in said.err, f"{told}\n{said.err}"
    left = check_ended(lab, f"{told}\n{said.err}")
    again = succeeded(start(lab, kind))
    check_ended(lab, f"{told}\n{said.err}{again.err}")
    check_whole(lab, kind, f"{told}\n{said.err}{again.err}")
    return f"{told}, left {left[0]} run(s) and {left[1]} trial(s), none RUNNING"


def a_lab(lab: Lab, folder: Path, store: Path) -> Lab:
    """Return a lab with the same photos and a store and cache of its own."""
    (folder / "mlruns").mkdir(parents=True)
    shutil.copy(store, folder / "mlruns/mlflow.db")  # tables take seconds to make
    return replace(lab, folder=folder)


@pytest.mark.timeout(120 + 120 * REPEATS)
@pytest.mark.parametrize("kind", COMMANDS)
def test_what_a_signal_ends_goes_on(
    lab: Lab, tmp_path: Path, empty_store: Path, kind: str
) -> None:
    first = [*COMMANDS].index(kind)  # all ways are tried, however few the repeats
    with ThreadPoolExecutor(2) as pool:
        ran = [
            pool.submit(endure, a_lab(lab, tmp_path / str(i), empty_store), kind, way)
            for i in range(REPEATS)
            for way in [WAYS[(first + i) % len(WAYS)]]
        ]
    print("", *[one.result() for one in ran], sep="\n")


class Impatient(Watcher):
    """Ends the run by Ctrl-C at the very moment when it has ended by itself."""

    def __init__(self, state: str) -> None:
        self._state = state

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        return self._state == "PRUNED"

    def end_tags(self, state: str) -> dict[str, str]:
        if state == self._state:
            os.kill(os.getpid(), signal.SIGINT)
        return {names.STATE: state}


@pytest.mark.parametrize("state", ["COMPLETE", "PRUNED"])
def test_ctrl_c_in_the_last_moment_takes_nothing_back(
    lab: Lab, tracker: Tracker, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    from catdog import experiment

    monkeypatch.setattr(signals, "_ending", signals._Ending())  # one per process, with a memory
    parts = lab.parts(lr_range__enabled="false", trainer__epochs=1, tracking__log_model="never")
    with signals.handled(), pytest.raises(KeyboardInterrupt):
        experiment.run(*parts, tracker, watcher=Impatient(state))
    (run,) = tracker.find({})
    assert (run.status, run.tags[names.STATE]) == ("FINISHED", "FAIL"), "its sweep repeats it"
