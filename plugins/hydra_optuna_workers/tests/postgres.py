"""A real PostgreSQL server."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from tests.processes import free_port


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
        self.port, self._programs = free_port(), programs
        self._as = self._user()
        data = self.folder / "data"
        self._call(
            str(programs / "initdb"), "--pgdata", str(data), "--auth", "trust", "--no-sync",
            "--username", "sweeper", "--encoding", "UTF8", "--locale", "C",
        )  # fmt: skip
        self._log = (self.folder / "server.log").open("wb")
        self.start()

    def start(self) -> None:
        """Start it, also after ``stop``, and wait until it answers."""
        data = self.folder / "data"
        options = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
            "fsync": "off", "max_connections": 200,
        }  # fmt: skip
        words = [f"--{name}={value}" for name, value in options.items()]
        self.process = subprocess.Popen(
            [str(self._programs / "postgres"), "-D", str(data), *words],
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

        place = f"postgresql://sweeper@127.0.0.1:{self.port}/postgres"
        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute(statement.encode())

    def database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"t{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://sweeper@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        """End it at once, as a power cut would: every connection breaks."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(timeout=30)

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
