"""Runs servers on this machine as child processes and ends them with all their own children."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from catdog.errors import CatdogError, ConfigError

HOST = "127.0.0.1"
START_SECONDS, STOP_SECONDS = 120, 5
LINES = 5
"""Number of the last lines of a server's output that a message quotes."""

direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens addresses of this machine without a proxy."""


class Server(contextlib.AbstractContextManager["Server"]):
    """A child process that answers on a port of this machine, with its own child processes.

    It runs from entering to leaving the context.

    Args:
        name: Its name in messages.
        words: The command.
        port: The port that it will listen on.
        env: Further environment variables.
    """

    def __init__(
        self, name: str, words: Sequence[str], port: int, env: Mapping[str, str] | None = None
    ) -> None:
        self.name, self.url = name, f"http://{HOST}:{port}"
        self._words, self._env = words, {**environment(), **(env or {})}

    def __enter__(self) -> Server:
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._words,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # a group of its own: one signal reaches its workers too
        )
        return self

    def __exit__(self, *error: object) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            end = time.monotonic() + STOP_SECONDS
            self._signal(number)
            while self._signal(0) and time.monotonic() < end:
                time.sleep(0.05)
        self._log.close()

    def _signal(self, number: int) -> bool:
        """Send a signal to all its processes; return whether there are any."""
        self._process.poll()  # or its process would count after it has ended
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return False
        return True

    def wait(self, stop: threading.Event) -> None:
        """Return when the server answers, or when ``stop`` is set.

        Raises:
            CatdogError: it ended, or did not answer in time.
        """
        end = time.monotonic() + START_SECONDS
        while not stop.wait(0.1):
            self.check()
            with contextlib.suppress(OSError), direct.open(self.url, timeout=5):
                return
            if time.monotonic() > end:
                raise CatdogError(f"{self.name} does not answer:\n{self._last_output()}")

    def check(self) -> None:
        """Check that the server runs.

        Raises:
            CatdogError: it has ended; the message quotes the end of its output.
        """
        if self._process.poll() is not None:
            raise CatdogError(f"{self.name} ended by itself:\n{self._last_output()}")

    def _last_output(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return "\n".join(lines[-LINES:]) or "without any output"


def environment() -> dict[str, str]:
    """Return this process's environment with the folder of the interpreter first in PATH."""
    beside = [str(Path(sys.executable).parent), *filter(None, [os.environ.get("PATH")])]
    return {**os.environ, "PATH": os.pathsep.join(beside)}


def check_port(key: str, port: int) -> None:
    """Check that a server can listen on a port.

    Args:
        key: The option that sets it, for messages.
        port: The port.

    Raises:
        ConfigError: it cannot; the message names a port that is free.
    """
    with socket.socket() as probe, socket.socket() as other:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            probe.bind((HOST, port))
        except OSError as error:
            other.bind((HOST, 0))
            free = other.getsockname()[1]
            found = f"cannot listen on this port: {_lower(error.strerror)}"
            raise ConfigError(key, port, found, f"{key} {free}") from None


def check_reachable(key: str, shown: str, host: str, port: int) -> None:
    """Check that something listens on a port of another machine.

    Args:
        key: The option or variable that names the machine, for messages.
        shown: Its value, without a password.
        host: Name or address of the machine.
        port: The port.

    Raises:
        ConfigError: nothing answers.
    """
    try:
        socket.create_connection((host, port), timeout=10).close()
    except OSError as error:
        found = f"nothing answers at {host}:{port}: {_lower(error.strerror or error)}"
        raise ConfigError(key, shown, found, "--uri <a store that answers>") from None


def _lower(reason: object) -> str:
    return str(reason)[:1].lower() + str(reason)[1:]
