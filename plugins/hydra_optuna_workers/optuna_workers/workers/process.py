"""A child process that runs trials, as its worker sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.spawn import get_preparation_data
from pathlib import Path
from typing import Any

THREADS = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)  # fmt: skip
"""Read when a library loads, so they must be set before the child starts."""

GRACE = 20.0
"""Seconds that an interrupted task has to tidy up."""


class Died(Exception):
    """The child ended without a reply."""


@dataclass(frozen=True)
class Request:
    """A trial for the child to run."""

    number: int
    study_name: str
    params: Mapping[str, Any]
    overrides: list[str]
    shared: Mapping[str, str]
    directions: int
    output: str


@dataclass
class Reply:
    """How a trial ended.

    Attributes:
        state: ``COMPLETE``, ``PRUNED``, ``FAIL``; ``INTERRUPTED`` (run it again), ``POSTPONED``
            (run it again later), or ``MISMATCH`` (a wrong number of values: no trial can succeed).
        values: One per direction.
        error: Traceback or reason.
        directory: The trial's Hydra directory.
        seconds: How long the task ran.
        waited: How long a task that is postponed has waited, in seconds.
        job: Hydra's JobReturn, pickled.
    """

    state: str
    values: list[float] | None = None
    error: str = ""
    directory: str = ""
    seconds: float = 0.0
    waited: float = 0.0
    job: bytes | None = field(default=None, repr=False)


class Child:
    """One process that runs trials one after another.

    Args:
        payload: What ``job.serve`` unpickles.
        threads: Cores it may use, or None.
    """

    def __init__(self, payload: bytes, threads: int | None) -> None:
        ours, theirs = socket.socketpair()
        watched, kept = os.pipe()
        # the child's end of this pipe closes when this process dies, however it dies
        self._lifeline = kept
        program = str(Path(__file__).with_name("child.py"))
        command = [
            sys.executable, *subprocess._args_from_interpreter_flags(),  # type: ignore[attr-defined]
            program, str(theirs.fileno()), str(watched),
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command,
            pass_fds=(theirs.fileno(), watched),
            env={**os.environ, **_limits(threads)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches it through us, once
        )
        theirs.close()
        os.close(watched)
        self._connection = Connection(ours.detach())
        self.trials = 0
        with contextlib.suppress(OSError):
            self._connection.send(_preparation())
            self._connection.send_bytes(payload)

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    def run(self, request: Request, ask: Callable[..., Any]) -> Reply:
        """Run a trial, answering what the task asks meanwhile.

        Raises:
            Died: the child is gone.
        """
        self.trials += 1
        try:
            self._connection.send(request)
            while True:
                kind, *rest = self._connection.recv()
                if kind == "ended":
                    return rest[0]
                reply = ask(kind, *rest)
                if kind == "should_prune":
                    self._connection.send(reply)
        except (EOFError, OSError):
            raise Died(self._how_it_ended()) from None

    def _how_it_ended(self) -> str:
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.kill()
            return "the trial's process hung up"
        if status >= 0:
            return f"the trial's process ended with status {status}"
        name = signal.Signals(-status).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"the trial's process was killed by {name}{hint}"

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        with contextlib.suppress(OSError):
            self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Let it go; one that does not leave is killed."""
        self._connection.close()
        os.close(self._lifeline)
        try:
            self._process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            self.kill()


def _limits(threads: int | None) -> dict[str, str]:
    if threads is None:
        return {}
    return {name: os.environ.get(name, str(threads)) for name in THREADS}


def _preparation() -> dict[str, Any]:
    """Return what makes the child's ``sys.path`` and working directory like ours."""
    data = get_preparation_data("trial")
    for key in ("authkey", "init_main_from_name", "init_main_from_path", "start_method"):
        data.pop(key, None)
    return data
