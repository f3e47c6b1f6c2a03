"""What a sweep needs may be away for a while: that costs time, no trial and no attempt."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from optuna_workers.errors import StorageAway
from optuna_workers.storage.patience import Fault, Patience
from optuna_workers.storage.retry import fault_of, patiently
from sqlalchemy.exc import IntegrityError, OperationalError

from tests.postgres import Server
from tests.processes import Ended, ended, eventually
from tests.stage import Stage, check_whole

REPEATS = int(os.environ.get("OUTAGE_REPEATS", "1"))
SECONDS = float(os.environ.get("OUTAGE_LASTS", "5"))
"""How often a server is ended in one sweep, and for how long it stays away."""

NAMED = "hydra.sweeper.study_name=s"


class Away(Exception):
    """What a test's service raises."""


def judge(error: Exception) -> Fault | None:
    return Fault("away") if isinstance(error, Away) else None


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let outages be said, and pauses end, at once."""
    monkeypatch.setattr("optuna_workers.storage.patience.SAID_AFTER", 0.0)
    monkeypatch.setattr("optuna_workers.storage.patience.LONGEST_PAUSE", 0.01)
    monkeypatch.setattr("optuna_workers.storage.patience.FIRST_PAUSE", 0.01)


@pytest.mark.usefixtures("hurried")
def test_an_outage_is_said_once_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    patience, answers = Patience("the oven", StorageAway), iter([Away()] * 9 + [1, 2])

    def ask() -> int:
        given = next(answers)
        if isinstance(given, Away):
            raise given
        return given

    with caplog.at_level(logging.WARNING):
        assert [patience.outlast(ask, judge) for _ in range(2)] == [1, 2]
    assert [message.split(" (")[0].split(",")[0] for message in caplog.messages] == [
        "the oven does not answer", "the oven answers again",
    ]  # fmt: skip
    assert patience.was_away(60) and not patience.was_away(0)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("fault", [Fault("gone", passing=False), Fault("away")])
def test_waiting_is_bounded_and_later_calls_try_once(
    fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTAGE_SECONDS", "0.1")
    patience, tries = Patience("the oven", StorageAway), [0]

    def ask() -> None:
        tries[0] += 1
        raise Away

    with pytest.raises(StorageAway, match=r"^the oven .*; the same command goes on later$"):
        patience.outlast(ask, lambda _: fault)
    assert (tries[0] == 1) != fault.passing
    before = tries[0]
    with pytest.raises(StorageAway):
        patience.outlast(ask, lambda _: fault)
    assert tries[0] == before + 1
    assert patience.outlast(lambda: 1, judge) == 1
    with pytest.raises(ZeroDivisionError):
        patience.outlast(lambda: 1 // 0, judge)


@pytest.mark.usefixtures("hurried")
def test_whoever_is_interrupted_while_waiting_tidies_up_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patience = Patience("the oven", StorageAway)

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    def ask() -> None:
        raise Away

    monkeypatch.setattr("optuna_workers.storage.patience.time.sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        patience.outlast(ask, judge)
    with pytest.raises(StorageAway):
        patience.outlast(ask, judge)


def failed(text: str, kind: type[Exception] = sqlite3.OperationalError) -> OperationalError:
    return OperationalError("SELECT 1", {}, kind(text))


FAULTS = [
    (failed("database is locked"), True),
    (failed("database table is locked"), True),
    (failed("no such table: hydra_slots"), False),
    (failed("attempt to write a readonly database"), False),
    (failed("database or disk is full"), False),
    (failed("server closed the connection unexpectedly", OSError), True),
    (failed('database "x" does not exist', OSError), False),
    (failed("no such column: x"), None),
    (IntegrityError("INSERT", {}, sqlite3.IntegrityError("UNIQUE")), None),
    (ValueError("database is locked"), None),
]


@pytest.mark.parametrize(("error", "passing"), FAULTS, ids=lambda one: str(one).splitlines()[0])
def test_an_outage_is_told_from_a_wrong_question(error: Exception, passing: bool | None) -> None:
    wrapped = StorageInternalError("Optuna's own")
    wrapped.__cause__ = error
    for one in (error, wrapped):
        found = fault_of(one)
        assert (found and found.passing) == passing


@pytest.mark.slow
def test_a_connection_that_is_lost_while_optuna_reads_is_an_outage(
    postgres: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Trials take several questions; Optuna asks on after a failed one, and hides what it was."""
    study = optuna.create_study(storage=postgres)
    study.add_trial(optuna.trial.create_trial(value=1.0, user_attrs={"slot": 0}))
    engine, cut = sa.create_engine(postgres), []
    storage = optuna.storages.RDBStorage(postgres)

    @sa.event.listens_for(storage.engine, "after_cursor_execute")
    def lose(connection: sa.Connection, _: object, statement: str, *__: object) -> None:
        if "FROM trials" in statement and not cut:
            cut.append(connection.connection.driver_connection.info.backend_pid)
            with engine.connect() as other:
                other.execute(sa.text(f"SELECT pg_terminate_backend({cut[0]})"))

    reread = optuna.load_study(study_name=study.study_name, storage=storage)
    capfd.readouterr()
    cut.clear()
    found = patiently(reread.get_trials)()
    assert cut and [trial.user_attrs for trial in found] == [{"slot": 0}]
    assert "sqlalchemy" not in "".join(capfd.readouterr())


def test_a_postponed_trial_uses_up_nothing(stage: Stage) -> None:
    ran = stage.run("x=1,2,3", "does=postponed2", NAMED, "hydra.sweeper.max_retries=0")
    trials = stage.trials()
    slots = [t.user_attrs["slot"] for t in trials if t.state == TrialState.COMPLETE]
    assert slots == [0, 1, 2]
    assert {t.user_attrs["attempt"] for t in trials} == {0}
    assert len(trials) == 5 and "failed" not in ran.out
    assert ran.out.count("the license server does not answer") == 1


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("hydra.sweeper.n_jobs=2",), ("hydra/launcher=joblib",)])
def test_a_sweep_whose_trials_are_postponed_for_long_ends_and_goes_on_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    monkeypatch.setenv("OUTAGE_SECONDS", "0")
    said = stage.refused("x=1,2,3", "does=postponed", NAMED, *more)
    last = "the license server does not answer; the same command goes on with s"
    assert said.splitlines().count(last) == 1, said
    assert all("hydra:lost" in t.user_attrs for t in stage.trials())
    monkeypatch.setenv("STUB_BACK", "1")
    stage.run("x=1,2,3", "does=postponed", NAMED, *more)
    slots = [t.user_attrs for t in stage.trials() if t.state == TrialState.COMPLETE]
    assert sorted(known["slot"] for known in slots) == [0, 1, 2]
    assert {known["attempt"] for known in slots} == {0}


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a SQLite file as a backup or another program does."""
    connection = sqlite3.connect(file, timeout=60, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


SWEEP = ("x=interval(0,1)", "hydra/sweeper/sampler=random", "hydra.sweeper.n_jobs=2", NAMED)


def check_said_once(said: Ended, times: int) -> None:
    told = said.out + said.err
    assert "Traceback" not in told, told
    notices = [line for line in told.splitlines() if "does not answer" in line]
    assert 1 <= len(notices) <= times, told
    assert told.count("answers again") == len(notices), told


@pytest.mark.slow
def test_a_locked_study_is_waited_for(stage: Stage) -> None:
    """SQLite's own patience ends after 20 s: the lock lasts longer."""
    sweep = stage.start(*SWEEP, "sleep=0.5", "hydra.sweeper.n_trials=10")
    assert eventually(lambda: len(stage.lines("end")) >= 2)
    with locked(stage.folder / "sweeps/s/study.db"):
        time.sleep(45)
    said = ended(sweep)
    assert said.status == 0, said.err
    check_said_once(said, 2)
    assert not check_whole(stage, 10)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["deleted", "replaced", "folder"])
def test_a_study_that_disappears_is_one_message(stage: Stage, what: str) -> None:
    sweep = stage.start(*SWEEP, "sleep=1", "hydra.sweeper.n_trials=10")
    assert eventually(lambda: len(stage.lines("end")) >= 2)
    file = stage.folder / "sweeps/s/study.db"
    if what == "folder":
        file.parent.rename(stage.folder / "elsewhere")
    else:
        file.unlink()
    if what == "replaced":
        sqlite3.connect(file).close()
        file.touch()
    said = ended(sweep)
    told = said.out + said.err
    assert said.status == 1
    assert "Traceback" not in told, told
    (line,) = [one for one in said.err.splitlines() if "the study's database" in one]
    assert str(file) in line and "cannot be used any more" in line
    assert eventually(lambda: not stage.processes())


@pytest.mark.slow
def test_a_database_server_that_stays_away_is_one_message_and_costs_nothing(
    postgres_server: Server, postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, postgres)
    words = (*SWEEP, "hydra.sweeper.n_trials=8", "hydra.sweeper.max_retries=0")
    monkeypatch.setenv("OUTAGE_SECONDS", "3")
    for _ in range(2):
        before = len(stage.lines("start"))
        sweep = stage.start(*words, "sleep=1")
        assert eventually(lambda before=before: len(stage.lines("start")) >= before + 3)
        postgres_server.stop()
        said = ended(sweep)
        postgres_server.start()
        told = said.out + said.err
        assert said.status == 1 and "Traceback" not in told, told
        (line,) = [one for one in said.err.splitlines() if "the study's database" in one]
        assert "has not answered for" in line and "the same command goes on later" in line
        assert eventually(lambda: not stage.processes())
    stage.run(*words, "sleep=0")
    slots = [t.user_attrs for t in stage.trials() if t.state == TrialState.COMPLETE]
    assert sorted(known["slot"] for known in slots) == list(range(8))
    assert {known["attempt"] for known in slots} == {0}
    assert all(t.state.is_finished() for t in stage.trials())
    assert not list((stage.folder / "sweeps/s").glob(".unreleased-*"))


@pytest.mark.slow
@pytest.mark.timeout(120 + REPEATS * (SECONDS + 30))
def test_a_database_server_that_is_away_costs_no_trial(
    postgres_server: Server, postgres: str, tmp_path: Path
) -> None:
    stage, n_trials = Stage(tmp_path, postgres), 10 + 6 * REPEATS
    words = (*SWEEP, "sleep=0.5", f"hydra.sweeper.n_trials={n_trials}",
             "hydra.sweeper.lease_seconds=3", "hydra.sweeper.max_retries=0")  # fmt: skip
    sweep = stage.start(*words)
    try:
        for k in range(REPEATS):
            assert eventually(lambda k=k: len(stage.lines("end")) >= 3 + 6 * k)
            postgres_server.stop()
            time.sleep(SECONDS)
            postgres_server.start()
        said = ended(sweep)
        assert said.status == 0, said.err
        check_said_once(said, REPEATS)
        lost = check_whole(stage, n_trials)
        engine = sa.create_engine(postgres)
        with engine.connect() as connection:
            states = list(connection.execute(sa.text("SELECT state, attempt FROM hydra_slots")))
        engine.dispose()
    finally:
        stage.clear()
    print(f"{REPEATS} outages of {SECONDS:g} s, {len(lost)} trials begun again")
    assert [tuple(row) for row in states] == [("COMPLETE", 0)] * n_trials
