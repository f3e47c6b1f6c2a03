"""What workers share through the database, whichever kind it is."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa
from optuna_workers.storage import process_identity, studies
from optuna_workers.storage.leases import Leases, heartbeat
from optuna_workers.storage.notes import Notes, tables

from tests.processes import eventually


@pytest.mark.slow
def test_eight_make_the_tables_of_a_new_server_at_once(postgres: str) -> None:
    engines = [sa.create_engine(postgres) for _ in range(8)]
    notes = [Notes(engine, 1) for engine in engines]  # connects
    barrier = threading.Barrier(len(notes))

    def make(mine: Notes) -> None:
        barrier.wait()
        mine.create_tables()

    for _ in range(5):
        with ThreadPoolExecutor(len(notes)) as pool:
            list(pool.map(make, notes))
        assert set(tables.tables) <= set(sa.inspect(engines[0]).get_table_names())
        tables.drop_all(engines[0])
    for engine in engines:
        engine.dispose()


def test_the_latest_value_of_a_note_stands(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/study.db")
    mine, another = Notes(engine, 1), Notes(engine, 2)
    mine.create_tables()
    assert mine.kept("n_trials") is None
    mine.keep("n_trials", 3)
    mine.keep("n_trials", 5)
    assert (mine.kept("n_trials"), another.kept("n_trials")) == (5, None)


def test_a_heart_beats_until_the_block_ends() -> None:
    beats: list[float] = []
    enough = threading.Event()

    def beat() -> None:
        beats.append(0)
        if len(beats) == 3:
            enough.set()

    with heartbeat(beat, every=0.01):
        assert enough.wait(10)
    heard = len(beats)
    assert not threading.Event().wait(0.05) and len(beats) == heard


def test_who_holds_a_note_in_a_long_call_keeps_it(tmp_path: Path) -> None:
    """A call may take longer than a lease; nobody else makes it meanwhile."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/study.db")
    notes = Notes(engine, 1, lease_seconds=0.3)
    notes.create_tables()
    notes.owner = "elsewhere 1 0.00"  # on another host only the lease can tell
    made: list[int] = []

    def slowly() -> int:
        made.append(1)
        return 1 if threading.Event().wait(1.2) else 2

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: notes.once("k", slowly), range(2)))
    assert found == [2, 2] and made == [1]


def test_a_process_is_known_by_its_start() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        began = process_identity.started(process.pid)
        assert re.fullmatch(r"\d+", began), "databases hold it: the format stays"
        owner = f"{process_identity.host()} {process.pid} {began} session/1"
        assert process_identity.is_dead(owner) is False
        assert process_identity.is_dead(owner.replace(began, "1700000000.00")), "its pid is reused"
        old = f"{psutil.Process(process.pid).create_time() + 7200:.2f}"  # the clock moved since
        assert process_identity.is_dead(owner.replace(f" {began} ", f" {old} ")) is None
        process.kill()
        assert eventually(lambda: process_identity.started(process.pid) == "gone"), "a zombie"
        assert process_identity.is_dead(owner) is True
        assert process_identity.is_dead(owner.replace(f" {began} ", f" {old} ")) is True
    assert process_identity.started(process.pid) == "gone"
    assert process_identity.is_dead(f"elsewhere {process.pid} {began}") is None


SHIFTS = [-7200.0, 0.0, 7200.0]


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_lease_is_over_when_it_is_not_renewed_whatever_the_clocks_say(
    tmp_path: Path, shift: float
) -> None:
    """SQLite in a shared folder: another host's clock may be two hours off, either way."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/study.db")
    leases = Leases(engine, 1, lease_seconds=0.05)
    renewed, silent = f"elsewhere{shift} 1 1 s/1", f"elsewhere{shift} 2 1 s/2"
    lease = leases.now() + shift
    assert not leases.is_abandoned(silent, lease)
    for beat in range(15):
        assert not leases.is_abandoned(renewed, lease + beat), "it lives: it renews"
        time.sleep(0.02)
    assert eventually(lambda: leases.is_abandoned(silent, lease))
    assert leases.is_abandoned(silent, 0.0), "somebody watched it, and told"


def test_a_database_that_was_deleted_between_two_sweeps_is_made_again(tmp_path: Path) -> None:
    """One process may run both, as a notebook does."""
    url = f"sqlite:///{tmp_path}/study.db"
    for _ in range(2):
        storage = studies.open_storage(url)
        assert storage.get_all_studies() == []
        storage.engine.dispose()
        (tmp_path / "study.db").unlink()
