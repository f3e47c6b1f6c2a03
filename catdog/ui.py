"""python -m catdog.ui: the runs in MLflow's pages, the studies in Optuna's dashboard.

Both are servers of their own, on 127.0.0.1 only; they end with this command.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import webbrowser
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from catdog.cli import arguments, hydra_app
from catdog.core import paths
from catdog.errors import CatdogError, ConfigError
from catdog.settings import Tracking
from catdog.system import databases, server
from catdog.system.server import HOST, Server
from catdog.system.study_copies import StudyCopies, database

LOOK_SECONDS = 2
"""How often servers and studies are looked at."""

VIEW = "catdog"
"""Key and name of the saved view that the experiment opens with; MLflow keeps it as a tag."""

COLUMNS = {
    "metrics.`best/value`": 95,
    "metrics.`best/val_loss`": 100,
    "metrics.`best/val_accuracy`": 130,
    "metrics.`test/accuracy`": 110,
    "params.`optimizer.lr`": 100,
    "params.`head.dropout`": 110,
    "params.`data.name`": 100,
    "tags.`optuna.state`": 110,
}
"""What tells runs apart, as MLflow names columns, and pixels; ``best/value`` is a sweep's."""

PLACED = {"attributes.`Run Name`": 340, "runDateAndNestInfo": 130, "duration": 75, **COLUMNS}
"""Also the columns that are always there."""


def main() -> None:
    """Run the command."""
    asked, stop = _parse(sys.argv[1:]), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # an exception could fall between a server's start and the note that it runs
        signal.signal(number, lambda *_: stop.set())
    with hydra_app.one_message(), ExitStack() as running:
        _browse(asked, stop, running)


def _parse(words: list[str]) -> argparse.Namespace:
    parser = arguments.parser("ui", "Browse runs in MLflow, studies in Optuna.")
    add, sweeps = parser.add_argument, paths.root() / "sweeps"
    add("--uri", help="MLflow store or server; else MLFLOW_TRACKING_URI, else mlruns/mlflow.db")
    add("--experiment", default=Tracking().experiment, help="opened first (%(default)s)")
    add("--port", type=_port, default=5000, help="MLflow's (%(default)s)")
    add("--optuna", action="store_true", help="show copies of all studies in Optuna's dashboard")
    add("--study", metavar="NAME", help="show this study itself there: notes stay in it")
    add("--sweeps", type=Path, default=sweeps, metavar="FOLDER", help="the studies' (sweeps)")
    add("--optuna-port", type=_port, default=8080, help="the dashboard's (%(default)s)")
    add("--no-browser", action="store_true", help="only print the addresses")
    return parser.parse_args(words)


def _port(text: str) -> int:
    if text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port: a number from 1 to 65535")


def _browse(asked: argparse.Namespace, stop: threading.Event, running: ExitStack) -> None:
    """Check all that can be wrong, then start the servers and watch them until told to stop."""
    store, key = databases.mlflow_store(asked.uri)
    remote = store.startswith(("http://", "https://"))
    (databases.check_server if remote else _check_store)(store, key)
    wanted, studies = [] if remote else [_mlflow(store, asked.port)], None
    if asked.optuna or asked.study:
        storage, studies = _studies(asked, running)
        wanted.append(_dashboard(storage, asked.optuna_port))
    for one in wanted:
        running.enter_context(one)
        print(f"Starting {one.name} ...", flush=True)
    pages = [store] if remote else []
    for one in wanted:
        one.wait(stop)
        pages.append(one.url)
    if stop.is_set():
        return
    if not remote:
        pages[0] = _experiment_page(pages[0], asked.experiment)
    _show(pages, browser=not asked.no_browser)
    if wanted:
        print("Ctrl-C ends it", flush=True)
    while wanted and not stop.wait(LOOK_SECONDS):
        for one in wanted:
            one.check()
        if studies:
            studies.refresh()


def _check_store(uri: str, key: str) -> None:
    """Make sure that there is a database to show."""
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme == "sqlite" and not paths.sqlite_file(uri).is_file():
        said = "there is no MLflow store yet; the first run makes it"
        raise ConfigError(key, uri, said, "python -m catdog.train")
    if parts.scheme != "sqlite" and parts.hostname:
        port = parts.port or (5432 if parts.scheme.startswith("postgres") else 3306)
        server.check_reachable(key, paths.without_password(uri), parts.hostname, port)


def _mlflow(store: str, port: int) -> Server:
    """Return MLflow's server for one person: no jobs, no second worker."""
    server.check_port("--port", port)
    words = ["--host", HOST, "--port", str(port), "--workers", "1"]
    words += ["--uvicorn-opts", "--timeout-graceful-shutdown 1"]
    env = {
        "MLFLOW_BACKEND_STORE_URI": store,  # it may hold a password: not for the command line
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": os.environ.get("MLFLOW_DISABLE_TELEMETRY", "true"),
    }
    if store.startswith("sqlite:"):  # an experiment made in the page keeps files where others do
        artifacts = paths.sqlite_file(store).parent / "artifacts"
        env["MLFLOW_DEFAULT_ARTIFACT_ROOT"] = artifacts.resolve().as_uri()
    return Server("MLflow", [sys.executable, "-m", "mlflow", "server", *words], port, env)


def _studies(asked: argparse.Namespace, running: ExitStack) -> tuple[str, StudyCopies | None]:
    """Return the database to show, and what keeps it up to date if it has copies."""
    if asked.study:
        return database(asked.sweeps, asked.study), None
    copy = Path(running.enter_context(tempfile.TemporaryDirectory())) / "studies.db"
    studies = StudyCopies(asked.sweeps, copy)
    if not studies.refresh():
        said = "there is no study yet; a sweep makes it"
        raise ConfigError("--sweeps", asked.sweeps, said, "python -m catdog.sweep smoke")
    return f"sqlite:///{copy}", studies


def _dashboard(storage: str, port: int) -> Server:
    server.check_port("--optuna-port", port)
    program = shutil.which("optuna-dashboard", path=server.environment()["PATH"])
    if program is None:
        raise CatdogError("--optuna needs its dashboard: pip install 'catdog-lab[dashboard]'")
    words = [program, storage, "--host", HOST, "--port", str(port), "--server", "wsgiref"]
    return Server("Optuna's dashboard", words, port)


def _experiment_page(url: str, experiment: str) -> str:
    """Return the page of an experiment's runs, with the columns that matter, if it is there."""
    api = f"{url}/api/2.0/mlflow/experiments"
    try:
        asked = urllib.parse.urlencode({"experiment_name": experiment})
        found = _call(f"{api}/get-by-name?{asked}")["experiment"]
    except urllib.error.HTTPError:
        return url
    key, number = f"mlflow.sharedViewState.{VIEW}", found["experiment_id"]
    if key not in [tag["key"] for tag in found.get("tags", [])]:
        tag = {"experiment_id": number, "key": key, "value": _view()}
        _call(f"{api}/set-experiment-tag", tag)
    # without the first word MLflow opens its pages for language models
    shown = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
    return f"{url}/#/experiments/{number}/runs?{shown}"


def _view() -> str:
    """Return a view as MLflow's page saves it; versions before 3.15 know none and ignore it."""
    state = {
        "selectedColumns": list(COLUMNS),
        "columnOrder": list(PLACED),
        "columnWidths": PLACED,
    }
    now = int(time.time() * 1000)
    return json.dumps({"name": VIEW, "createdAt": now, "state": json.dumps(state)})


def _call(url: str, content: dict[str, str] | None = None) -> Any:
    body = None if content is None else json.dumps(content).encode()
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with server.direct.open(asked, timeout=30) as answer:
        return json.load(answer)


def _show(pages: list[str], *, browser: bool) -> None:
    for name, page in zip(("MLflow", "Optuna"), pages, strict=False):
        print(f"{name:<8}{paths.without_password(page)}", flush=True)
        if browser:
            webbrowser.open(page)


if __name__ == "__main__":
    main()
