"""Fixtures of the sweeper's tests that need catdog or MLflow; the plugin's tests lend the rest.

Those lie in plugins/hydra_optuna_workers/tests and pass where neither is installed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "plugins/hydra_optuna_workers"
collect_ignore_glob = ["app/*"]  # programs that tests start
sys.path.insert(0, str(PLUGIN))  # its tests are the package ``tests``

from tests.fixtures import postgres, postgres_server, stage  # noqa: E402, F401
from tests.processes import free_port  # noqa: E402
from tests.stage import APP  # noqa: E402


@pytest.fixture(autouse=True)
def plugin_everywhere(surroundings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands that run elsewhere find this checkout, its plugin and the stub's callbacks."""
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [str(ROOT), str(PLUGIN), str(APP), *filter(None, known)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


class MlflowServer:
    """An MLflow server that keeps runs in SQLite and files in a folder.

    Attributes:
        url: Its address.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        """Start it, also after ``stop``, and wait until it answers."""
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
            "--port", str(self._port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db",
            "--artifacts-destination", str(self._folder / "artifacts"),
        ]  # fmt: skip
        log = self._folder / "server.log"
        # its workers are children of its own: a group of their own ends them together
        env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # seven idle processes
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=env, stdout=file, stderr=file,
                start_new_session=True,
            )  # fmt: skip
        end = time.monotonic() + 90
        while not answers(f"{self.url}/health"):
            assert self._process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.2)

    def stop(self) -> None:
        """Kill it: it takes 20 s to say goodbye, and nobody stays."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture(scope="module")
def mlflow_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """An MLflow server that can be ended and started."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def mlflow_server(mlflow_host: MlflowServer) -> str:
    """URL of an MLflow server that keeps runs in SQLite and files in a folder."""
    return mlflow_host.url


def answers(url: str) -> bool:
    """Return whether a server on this machine answers."""
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False
