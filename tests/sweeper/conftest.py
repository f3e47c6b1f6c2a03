"""Fixtures of the sweeper's tests: stages, a real PostgreSQL server, a real MLflow server."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from sweeper.stage import APP, Stage

ROOT = Path(__file__).resolve().parents[2]


def unavailable(reason: str) -> NoReturn:
    """Skip on a person's machine; in CI everything is there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def plugin_everywhere(surroundings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands that run elsewhere find this checkout's plugin and the stub's callbacks."""
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [str(ROOT), str(APP), *filter(None, known)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A folder for sweeps that keep each study in its own SQLite file."""
    made = Stage(tmp_path)
    yield made
    made.clear()


@pytest.fixture(params=["sqlite", "postgres"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A folder for sweeps that share one database, of either kind."""
    if request.param == "sqlite":
        made = Stage(tmp_path, f"sqlite:///{tmp_path}/shared.db")
    else:
        made = Stage(tmp_path, request.getfixturevalue("postgres"))
    yield made
    made.clear()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs; Debian keeps them off the PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("postgres")
    places += [Path(on_path).resolve().parent] if on_path else []
    return next((place for place in places if (place / "initdb").exists()), None)


class Server:
    """A PostgreSQL server on 127.0.0.1 with its files in a folder of its own."""

    def __init__(self, programs: Path) -> None:
        # not under pytest's folder: that is closed to the user the server must run as
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self.port = free_port()
        self._as = self._user()
        data = self.folder / "data"
        self._call(
            str(programs / "initdb"), "--pgdata", str(data), "--auth", "trust", "--no-sync",
            "--username", "catdog", "--encoding", "UTF8", "--locale", "C",
        )  # fmt: skip
        options = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
            "fsync": "off", "max_connections": 200,
        }  # fmt: skip
        words = [f"--{name}={value}" for name, value in options.items()]
        self._log = (self.folder / "server.log").open("wb")
        self.process = subprocess.Popen(
            [str(programs / "postgres"), "-D", str(data), *words],
            stdout=self._log, stderr=self._log, cwd=self.folder, **self._as,
        )  # fmt: skip
        self._wait()

    def _user(self) -> dict[str, object]:
        """Return how to start it: a PostgreSQL server refuses to run as root."""
        if os.geteuid() != 0:
            return {}
        names = {user.pw_name for user in pwd.getpwall()}
        user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
        os.chown(self.folder, user.pw_uid, user.pw_gid)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def _call(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", **self._as)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr

    def _wait(self) -> None:
        import psycopg

        end = time.monotonic() + 30
        while True:
            try:
                self.execute("SELECT 1")
                return
            except psycopg.OperationalError:
                said = (self.folder / "server.log").read_text()
                assert self.process.poll() is None and time.monotonic() < end, said
                time.sleep(0.1)

    def execute(self, statement: str) -> None:
        """Run one statement as the administrator."""
        import psycopg

        place = f"postgresql://catdog@127.0.0.1:{self.port}/postgres"
        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute(statement.encode())

    def database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"t{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://catdog@127.0.0.1:{self.port}/{name}"

    def close(self) -> None:
        """Stop it and remove its files."""
        self.process.send_signal(signal.SIGINT)  # SIGTERM would wait for every connection
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A PostgreSQL server for the whole session."""
    found = programs()
    if found is None:
        unavailable("needs a PostgreSQL server: apt install postgresql")
    try:
        import psycopg  # noqa: F401
    except ImportError:
        unavailable("needs psycopg: pip install 'catdog-lab[postgres]'")
    server = Server(found)
    yield server
    server.close()


@pytest.fixture
def postgres(postgres_server: Server) -> str:
    """URL of an empty PostgreSQL database."""
    return postgres_server.database()


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an MLflow server that keeps runs in SQLite and files in a folder."""
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    log = (folder / "server.log").open("wb")
    # its workers are children of its own: a group of their own ends them together
    env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # seven idle processes
    process = subprocess.Popen(
        command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + 90
    while not answers(f"{url}/health"):
        said = (folder / "server.log").read_text()
        assert process.poll() is None and time.monotonic() < end, said
        time.sleep(0.2)
    yield url
    os.killpg(process.pid, signal.SIGKILL)  # it takes 20 s to say goodbye, and nobody stays
    process.wait()
    log.close()


def answers(url: str) -> bool:
    """Return whether a server on this machine answers."""
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False
