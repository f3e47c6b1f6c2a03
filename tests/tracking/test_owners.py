"""A run's owner is known dead only when nobody else can be it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna_workers.storage import process_identity

from catdog.tracking import owners

HOST = socket.gethostname()
TELL = (
    "from catdog.tracking import owners; "
    "print(owners.this_process(), owners.session_tag(), sep='|', flush=True); "
)


CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc")
"""Starts a program in a pid namespace of its own, as a container does."""


@contextmanager
def another(
    then: str = "input()", inside: Sequence[str] = ()
) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Start a process that says who it is; yield it, its owner and its session's tag."""
    process = subprocess.Popen(
        [*inside, sys.executable, "-c", TELL + then],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        owner, session = process.stdout.readline().strip().split("|")
        yield process, owner, session
    finally:
        process.kill()
        process.communicate()


def test_an_owner_is_known_dead_once_its_process_is_gone() -> None:
    with another() as (process, owner, session):
        tags = {owners.OWNER: owner, session: owner, "catdog.kind": "sweep"}
        assert owners.living(tags) == {owners.OWNER: owner, session: owner}
        assert owner != owners.this_process() and session != owners.session_tag()
        process.communicate("\n")
        assert owners.living(tags) == {}


def test_a_process_has_one_name_as_long_as_it_lives() -> None:
    assert owners.this_process() == owners.this_process()
    host, pid, started = owners.this_process().split(" ")
    assert (host, int(pid)) == (process_identity.host(), os.getpid())
    assert started == process_identity.started(os.getpid())
    assert owners.this_process().startswith(owners.host_prefix())
    assert owners.living({owners.OWNER: owners.this_process()})


def test_a_session_is_a_key_that_mlflow_takes_and_no_other_process_has() -> None:
    assert owners.session_tag().startswith(f"catdog.owner.{HOST}-")
    assert owners.session_tag().endswith(f"-{os.getpid()}")
    assert re.fullmatch(r"[\w./ :-]{1,250}", owners.session_tag())


FIRST = f"{HOST} 1 0.00"  # the process with this pid started later: the number was used again
NOBODY = f"{HOST} 99999999 1.00"


@pytest.mark.parametrize(
    ("owner", "lives"),
    [
        (f"{HOST} {os.getpid()} 1.00", False),
        (FIRST, False),
        (NOBODY, False),
        (f"{HOST} {os.getpid()} gone", False),
        (f"{HOST}2 99999999 1.00", True),
        (f"x{NOBODY}", True),
        (f"{HOST[:-1]} 99999999 1.00", True),
        (f"{process_identity.host()} 99999999 1", False),
        (f"{process_identity.host()} {os.getpid()} 1", False),
        (f"{HOST}-9f3c1d2e4b5a-[4026531836 99999999 1", True),
        (f"{HOST} {os.getpid()} {time.time() + 7200:.2f}", True),
    ],
    ids=[
        "pid used again",
        "pid 1 used again",
        "no such pid",
        "was gone",
        "host2",
        "xhost",
        "hos",
        "no such pid here",
        "pid used again here",
        "another container",
        "the clock moved since",
    ],
)
def test_who_may_live(owner: str, lives: bool) -> None:
    assert bool(owners.living({owners.OWNER: owner})) == lives


KEYS = {
    "catdog.owner": True,
    "catdog.owner.a-1": True,
    "catdog.owner.b-2": True,
    "catdog.owners": False,
    "catdog.owner_": False,
    "catdog.kind": False,
    "mlflow.user": False,
}
LIVES = {owners.this_process(): True, FIRST: False, NOBODY: False, "elsewhere 1 1.00": True}


@given(st.dictionaries(st.sampled_from([*KEYS]), st.sampled_from([*LIVES])))
def test_of_any_tags_only_owners_that_may_live_are_left(tags: dict[str, str]) -> None:
    left = {key: owner for key, owner in tags.items() if KEYS[key] and LIVES[owner]}
    assert owners.living(tags) == left


def test_a_process_that_died_unseen_owns_nothing() -> None:
    with another("") as (process, owner, _):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and left a zombie
        assert owners.living({owners.OWNER: owner}) == {}


def test_neither_side_of_a_container_takes_the_other_for_dead() -> None:
    tried = subprocess.run([*CONTAINER, "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"this machine makes no pid namespaces: {tried.stderr.strip()}")
    ask = f"print(bool(owners.living({{'{owners.OWNER}': input()}})), flush=True); input()"
    with another(ask, CONTAINER) as (process, owner, session):
        assert process.stdin is not None and process.stdout is not None
        assert owner.split(" ")[1] == "1" != str(os.getpid())
        assert owners.living({session: owner})
        process.stdin.write(owners.this_process() + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "True\n"
