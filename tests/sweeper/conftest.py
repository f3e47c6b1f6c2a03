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
