"""``python -m optuna_workers``: what runs where, since when, what is left; and nothing changes."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna_workers import status
from optuna_workers.__main__ import main
from optuna_workers.storage import process_identity

from tests.processes import ended, eventually
from tests.stage import Stage

SWEEP = (
    "x=interval(0,1)", "hydra/sweeper/sampler=random", "hydra.sweeper.study_name=s",
    "hydra.sweeper.seed=1",
)  # fmt: skip
INLINE = "hydra.sweeper.isolation=none"
Ask = Callable[..., str]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Ask in this process; what is said fits 80 columns."""

    def asked(*words: str) -> str:
        assert main(words) == 0
        said = capsys.readouterr().out
        assert max(map(len, said.splitlines())) <= 80, said
        return said

    return asked


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Ask for what is not there; one line says so."""

    def asked(*words: str) -> str:
        assert main(words) == 1
        said = capsys.readouterr()
        assert not said.out and len(said.err.splitlines()) == 1, said
        return said.err

    return asked


def test_a_running_sweep(stage: Stage, ask: Ask) -> None:
    words = ("hydra.sweeper.n_trials=5", "hydra.sweeper.n_jobs=2", "sleep=60", "steps=1")
    process = stage.start(*SWEEP, *words)
    assert eventually(lambda: len(stage.lines("start")) == 2)
    said = ask(str(stage.folder / "sweeps/s"))
    (study,) = status.read(str(stage.folder / "sweeps/s"))
    stage.clear()
    ended(process)
    assert "0 of 5 slots have ended  2 running  3 left" in said
    assert "1 command works on it" in said
    rows = [line for line in said.splitlines() if f" {process.pid} " in line]
    assert len(rows) == 2 and all(" alive " in row for row in rows), said
    assert {slot.trial for slot in study.slots} == {0, 1}
    host = socket.gethostname()
    assert {(s.host, s.pid, s.alive, s.attempt) for s in study.slots} == {
        (host, process.pid, True, 0)
    }
    assert all(0 <= study.now - (slot.started or 0) < 60 for slot in study.slots)


@pytest.mark.slow
def test_a_killed_sweep_then_its_retry(stage: Stage, ask: Ask) -> None:
    words = (*SWEEP, "hydra.sweeper.n_trials=3")
    process = stage.start(*words, "sleep=60")
    assert eventually(lambda: bool(stage.lines("start")))
    process.kill()
    stage.clear()
    ended(process)
    place = str(stage.folder / "sweeps/s/study.db")
    said = ask(place)
    assert "0 of 3 slots have ended  3 left" in said
    assert "1 lost with their owner" in said and "no commands work on it" in said
    assert " dead " in said
    stage.run(*words)
    said = ask(place)
    assert "3 of 3 slots have ended  3 complete  0 left" in said
    retried = said.partition("retried")[2].splitlines()
    assert retried[3].split() == ["0", "1", "1", "COMPLETE"], said
    best = min(trial.value for trial in stage.trials() if trial.value is not None)
    assert f"best {best:.5g}  trial " in said


def test_an_owner_elsewhere_is_known_by_its_lease(stage: Stage, ask: Ask) -> None:
    stage.run("x=1,2", "hydra.sweeper.study_name=s", INLINE)
    place = stage.folder / "sweeps/s/study.db"

    def held(seconds: float) -> str:
        owner, until = "gpu-7-9f3c1d2e4b5a-[4026531836 4711 1.00 5d0c/1", time.time() + seconds
        with closing(sqlite3.connect(place)) as database, database:
            change = "UPDATE hydra_slots SET state='RUNNING', owner=?, lease=? WHERE slot=1"
            database.execute(change, (owner, until))
        return ask(str(place))

    said = held(40.5)
    assert "1 of 2 slots have ended  1 complete  1 running  0 left" in said
    assert re.search(r" 1 +0 +gpu-7 4711 +\S+ +40 s left ", said), said
    said = held(-1)
    assert "1 lost with their owner" in said and "1 left" in said
    assert re.search(r" gpu-7 4711 +\S+ +run out ", said), said


def test_what_failed_and_why(stage: Stage, ask: Ask) -> None:
    stage.run("x=1,2", "does=raise,return", "hydra.sweeper.study_name=s", INLINE,
              "hydra.sweeper.max_failure_rate=1")  # fmt: skip
    said = ask(str(stage.folder / "sweeps/s"), "s")
    failed = said.partition("\nfailed\n")[2]
    assert failed.count("ZeroDivisionError: division by zero") == 2
    assert "2 complete  2 failed  0 left" in said


def test_all_studies_of_a_storage(shared: Stage, ask: Ask, refused: Ask) -> None:
    shared.run(*SWEEP, "hydra.sweeper.n_trials=2", INLINE)
    shared.run("x=1,2,3", "does=two", "hydra.sweeper.study_name=second", INLINE,
               "hydra.sweeper.direction=[minimize,maximize]")  # fmt: skip
    optuna.create_study(storage=shared.url, study_name="another program's")
    rows = {line.split()[0]: line.split()[1:] for line in ask(shared.url).splitlines()[2:]}
    best = min(trial.value for trial in shared.trials() if trial.value is not None)
    assert rows == {
        "s": ["2", "2", "0", "0", "0", "0", f"{best:.5g}"],
        "second": ["3", "3", "0", "0", "0", "0", "front", "of", "3"],
    }
    assert "3 of 3 slots" in ask(shared.url, "sec"), "the beginning of a name is enough"
    assert "there is no study third; there are: s, second" in refused(shared.url, "third")
    assert "s is the beginning" not in ask(shared.url, "s"), "a whole name is one study"


def test_nothing_is_changed(stage: Stage, ask: Ask) -> None:
    stage.run("x=1,2", "hydra.sweeper.study_name=s", INLINE)
    folder = stage.folder / "sweeps/s"

    def contents() -> dict[str, str]:
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}

    before = contents()
    ask(str(folder))
    assert contents() == before
    with status.source.opened(str(folder)) as engine, engine.connect() as connection:
        with pytest.raises(Exception, match="readonly"):
            connection.exec_driver_sql("DELETE FROM hydra_slots")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (None, "there is no such file; give a database URL, a study.db or its folder"),
        (b"", "this is no SQLite database"),
        (b"journal", "this is no SQLite database"),
    ],
)
def test_what_is_no_database(tmp_path: Path, refused: Ask, made: bytes | None, said: str) -> None:
    file = tmp_path / "study.db"
    if made is not None:
        file.write_bytes(made)
    for storage in (str(file), f"sqlite:///{file}", *([str(tmp_path)] if made is None else [])):
        assert refused(storage) == f"optuna_workers: {file}: {said}" + (
            "\n" if made is None else "; give a database URL, a study.db or its folder\n"
        )
    assert file.exists() == (made is not None), "nothing is made by looking"


def test_a_database_that_no_sweep_has_used(tmp_path: Path, refused: Ask) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as database, database:
        database.execute("CREATE TABLE other (x)")
    said = refused(str(tmp_path / "other.db"))
    assert "other.db: no sweep of this plugin has used this database" in said


def test_a_server_that_does_not_answer_is_named_without_its_password(refused: Ask) -> None:
    pytest.importorskip("psycopg")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = refused(f"postgresql+psycopg://me:secret@127.0.0.1:{port}/db", "s")
    assert f"me:***@127.0.0.1:{port}/db: this database cannot be read: " in said
    assert "secret" not in said
    said = refused("nonsense://me:secret@nowhere/db?password=secret")
    assert "nonsense://me:***@nowhere/db?password=***" in said and "secret" not in said


def test_names_from_outside_are_shown_harmlessly(stage: Stage, ask: Ask) -> None:
    stage.run("x=1", INLINE, "hydra.sweeper.study_name='[red]\x1b[2Jname'")
    (url,) = [f"sqlite:///{path}" for path in (stage.folder / "sweeps").glob("*/study.db")]
    said = ask(url)
    assert "\x1b" not in said and said.startswith("[red] [2Jname")


def test_an_owner_is_called_as_people_call_it() -> None:
    host, pid = process_identity.shown(process_identity.me("session/1"))
    assert (host, pid) == (socket.gethostname(), os.getpid())


def test_times_are_those_of_the_slots(stage: Stage) -> None:
    stage.run("x=1,2,3", "hydra.sweeper.study_name=s", "sleep=0.05", INLINE)
    found = status.times(str(stage.folder / "sweeps/s"))
    assert [slot.state for slot in found] == ["COMPLETE"] * 3
    assert [slot.started for slot in found] == sorted(slot.started for slot in found)
    spans = sorted(stage.spans(), key=lambda span: span.start)
    for slot, span in zip(found, spans, strict=True):
        assert slot.started <= span.start and span.last <= slot.ended


def test_as_a_command(stage: Stage) -> None:
    stage.run("x=1", "hydra.sweeper.study_name=s", INLINE)
    command = [sys.executable, "-m", "optuna_workers"]
    for place, status_, said in (("sweeps/s", 0, "1 of 1 slots"), ("nowhere", 1, "no such file")):
        ran = subprocess.run(
            [*command, place], cwd=stage.folder, capture_output=True, text=True, timeout=60
        )
        assert ran.returncode == status_ and said in ran.stdout + ran.stderr
        assert "Traceback" not in ran.stderr
