"""Ctrl-C, twice too, SIGTERM and a closed terminal end a sweep alike, and it goes on later."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from optuna.trial import TrialState
from optuna_workers.session import MAX_IDLE

from tests.processes import ended, eventually
from tests.stage import Stage, check_whole

pytestmark = pytest.mark.slow

REPEATS = int(os.environ.get("KILL_REPEATS", "1"))
N_TRIALS = 6
SWEEP = (
    "x=interval(0,1)", "sleep=0.3", "hydra/sweeper/sampler=random", "hydra.sweeper.n_jobs=2",
    f"hydra.sweeper.n_trials={N_TRIALS}", "hydra.sweeper.study_name=s",
    "hydra.sweeper.max_retries=0",
)  # fmt: skip
WAYS = {
    "closed": (signal.SIGHUP,),
    "closed twice": (signal.SIGHUP, signal.SIGHUP),
    "ctrl-c twice": (signal.SIGINT, signal.SIGINT),
    "terminated": (signal.SIGTERM,),
    "terminated twice": (signal.SIGTERM, signal.SIGTERM),
}


def send(command: subprocess.Popen[str], sent: Sequence[signal.Signals]) -> None:
    """Send signals to the whole group, as a terminal does, a moment apart."""
    for number in sent:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(command.pid, number)
        time.sleep(random.choice([0.0, 0.01, 0.05, 0.2]))


def endure(folder: Path, sent: Sequence[signal.Signals]) -> None:
    """End a sweep while trials run; the same command finishes it, and no attempt is used up."""
    folder.mkdir()
    stage = Stage(folder)
    command = stage.start(*SWEEP)
    after = random.randint(1, 4)
    try:
        assert eventually(lambda: len(stage.lines("start")) >= after)
        time.sleep(random.uniform(0, 0.3))
        send(command, sent)
        said = ended(command, timeout=60)
        told = f"{said}, after {after}"
        # the second may meet Python's own shutdown, when everything is kept
        assert said.status in (130, -signal.SIGINT, *(-number for number in sent[1:])), told
        assert said.out.count("the same command goes on") == 1, told
        assert eventually(lambda: not stage.processes()), told
        trials = stage.trials()
        assert {t.state for t in trials} <= {TrialState.COMPLETE, TrialState.FAIL}, told
        assert {t.user_attrs["attempt"] for t in trials} <= {0}, told
        again = ended(stage.start(*SWEEP))
        assert again.status == 0, again.err
        check_whole(stage, N_TRIALS)
        assert {t.user_attrs["attempt"] for t in stage.trials()} == {0}, told
    finally:
        stage.clear()


@pytest.mark.timeout(60 + 60 * REPEATS)
@pytest.mark.parametrize("way", WAYS)
def test_a_sweep_that_is_ended_goes_on(tmp_path: Path, way: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        ran = [pool.submit(endure, tmp_path / str(i), WAYS[way]) for i in range(REPEATS)]
    for one in ran:
        one.result()
    print(f"{way}: {len(ran)}")


def test_nohup_is_not_ended_by_a_closed_terminal(tmp_path: Path) -> None:
    program = (
        "import signal, os; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
        "from optuna_workers.workers import signals; signals.handle(); "
        "os.kill(os.getpid(), signal.SIGHUP); print('on')"
    )
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "on\n"


STEP = (
    "import signal, os\n"
    "from optuna_workers.workers import signals\n"
    "signals.handle()\n"
    "try:\n"
    "    with signals.deferred():\n"
    "        os.kill(os.getpid(), signal.SIGINT)\n"
    "        os.kill(os.getpid(), signal.SIGTERM)\n"
    "        print('whole')\n"
    "    print('not reached')\n"
    "except KeyboardInterrupt:\n"
    "    os.kill(os.getpid(), signal.SIGINT)\n"
    "    print('tidy')\n"
)


def test_a_step_is_finished_and_tidying_up_is_not_disturbed() -> None:
    command = [sys.executable, "-c", STEP]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "whole\ntidy\n"


def test_workers_that_find_nothing_to_do_are_not_started_for_ever(tmp_path: Path) -> None:
    """Somebody's hand in the database: workers take their command for dead, and end at once."""
    stage = Stage(tmp_path)
    command = stage.start(*SWEEP)
    try:
        assert eventually(lambda: len(stage.lines("start")) >= 1)
        with contextlib.closing(sqlite3.connect(tmp_path / "sweeps/s/study.db")) as database:
            database.execute("DELETE FROM hydra_notes WHERE key LIKE 'session/%'")
            database.commit()
        said = ended(command, timeout=60)
        assert said.status == 1, said
        assert f"workers were started {MAX_IDLE} times and ran no trial" in said.err, said
        assert "the same command goes on" in said.err and "Traceback" not in said.err, said
        again = ended(stage.start(*SWEEP))
        assert again.status == 0, again.err
        check_whole(stage, N_TRIALS)
    finally:
        stage.clear()


def test_what_callbacks_open_while_the_signal_comes_is_closed(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    slow = "+hydra.sweeper.callbacks.heard={_target_: heard.Heard, slow: 1.0}"
    command = stage.start(*SWEEP, slow)
    try:
        assert eventually(lambda: (tmp_path / "heard.jsonl").exists())
        os.killpg(command.pid, signal.SIGTERM)
        said = ended(command, timeout=60)
        assert said.status != 0, said
        assert [line["hook"] for line in stage.heard()] == ["study_start", "study_end"]
    finally:
        stage.clear()
