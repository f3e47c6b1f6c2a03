"""Optuna's dashboard as ``catdog.ui`` starts it, asked as a page from elsewhere would ask it."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator

import optuna
import pytest

from catdog.system.server import HOST, Server
from catdog.ui import _dashboard

pytestmark = pytest.mark.slow

REFUSED = [
    {"Host": "evil.example"},
    {"Host": "evil.example:{port}"},
    {"Host": "localhost.evil.example:{port}"},
    {"Host": "127.0.0.1.evil.example"},
    {"Host": "evil@localhost"},
    {"Host": ""},
    {"Host": "localhost:{port}", "Origin": "http://evil.example"},
    {"Host": "localhost:{port}", "Origin": "http://localhost.evil.example:{port}"},
    {"Host": "localhost:{port}", "Origin": "null"},
]
ANSWERED = [
    {"Host": "localhost:{port}"},
    {"Host": "LOCALHOST"},
    {"Host": "127.0.0.1:9999"},
    {"Host": "[::1]:{port}"},
    {"Host": "localhost:{port}", "Origin": "http://127.0.0.1:{port}"},
]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('studies')}/study.db"
    optuna.create_study(study_name="kept", storage=url)
    return url


@pytest.fixture(scope="module")
def port(storage: str) -> Iterator[int]:
    pytest.importorskip("optuna_dashboard")
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        number = probe.getsockname()[1]
    with _dashboard(storage, number) as started:
        assert isinstance(started, Server)
        started.wait(threading.Event())
        yield number


def ask(port: int, method: str, path: str, headers: dict[str, str]) -> int:
    asked = http.client.HTTPConnection(HOST, port, timeout=60)
    asked.request(method, path, headers={k: v.format(port=port) for k, v in headers.items()})
    return asked.getresponse().status


@pytest.mark.parametrize("headers", REFUSED, ids=str)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_another_host_gets_nothing_and_deletes_nothing(
    method: str, headers: dict[str, str], port: int, storage: str
) -> None:
    path = "/api/studies" if method == "GET" else "/api/studies/1"
    assert ask(port, method, path, headers) == 403
    assert optuna.get_all_study_names(storage) == ["kept"]


@pytest.mark.parametrize("headers", ANSWERED, ids=str)
def test_this_machine_is_answered(headers: dict[str, str], port: int) -> None:
    assert ask(port, "GET", "/api/studies", headers) == 200
