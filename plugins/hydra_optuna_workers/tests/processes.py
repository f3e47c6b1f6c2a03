"""Processes that tests start, and what they said."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import pytest


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    status: int
    out: str
    err: str


def ended(process: subprocess.Popen[str], *, timeout: float = 120) -> Ended:
    """Wait for a process and return what it said; none outlives its test."""
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return Ended(process.returncode, out, err)


def succeeded(process: subprocess.Popen[str], *, timeout: float = 120) -> Ended:
    """Wait for a process that must succeed."""
    result = ended(process, timeout=timeout)
    assert result.status == 0, f"{shlex.join(map(str, process.args))}\n{result.err}"
    return result


def eventually(what: Callable[[], bool], *, seconds: float = 30) -> bool:
    """Return whether something comes true in time."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def unavailable(reason: str) -> NoReturn:
    """Skip on a person's machine; in CI everything is there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
