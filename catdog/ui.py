"""python -m catdog.ui: the runs in MLflow's pages, the studies in Optuna's dashboard.

Both are servers of their own, on 127.0.0.1 only; they end with this command.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
import tempfile
import threading
import urllib.parse
import webbrowser
from contextlib import ExitStack
from pathlib import Path

from catdog.cli import arguments, hydra_app
from catdog.core import paths
from catdog.errors import CatdogError, ConfigError
from catdog.mlflow_store import answers, relocation
from catdog.settings import Tracking
from catdog.system import dashboard, databases, mlflow_page, server
from catdog.system.server import HOST, Server
from catdog.system.study_copies import StudyCopies, database

CHECK_SECONDS = 2
"""Time between two checks of the servers and two updates of the studies' copies."""


def main() -> None:
    """Run the command."""
    options, stop = _parse(sys.argv[1:]), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # no exception: one could come between a server's start and the moment it is registered
        signal.signal(number, lambda *_: stop.set())
    with hydra_app.one_message(), ExitStack() as running:
        _browse(options, stop, running)


def _parse(words: list[str]) -> argparse.Namespace:
    parser = arguments.parser("ui", "Browse runs in MLflow, studies in Optuna.")
    add, sweeps = parser.add_argument, paths.root() / "sweeps"
    add("--uri", help="MLflow store or server; else MLFLOW_TRACKING_URI, else mlruns/mlflow.db")
    add("--experiment", default=Tracking().experiment, help="opened first (%(default)s)")
    add("--port", type=_port, default=5000, help="MLflow's (%(default)s)")
    add("--optuna", action="store_true", help="show copies of all studies in Optuna's dashboard")
    add("--study", metavar="NAME", help="show this study itself there: notes stay in it")
    add(
        "--sweeps",
        type=paths.expanded,
        default=sweeps,
        metavar="FOLDER",
        help="the studies' (sweeps)",
    )
    add("--optuna-port", type=_port, default=8080, help="the dashboard's (%(default)s)")
    add("--no-browser", action="store_true", help="only print the addresses")
    return parser.parse_args(words)


def _port(text: str) -> int:
    if text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port: a number from 1 to 65535")


def _browse(options: argparse.Namespace, stop: threading.Event, running: ExitStack) -> None:
    """Check what can be wrong, then start the servers and watch them until ``stop`` is set."""
    store, key = databases.mlflow_store(options.uri)
    remote = store.startswith(("http://", "https://"))
    if remote:
        answers.check(store, key, "--uri <one that answers>")
    else:
        _check_store(store, key)
    wanted, studies = [] if remote else [_mlflow(store, options.port)], None
    if options.optuna or options.study:
        storage, studies = _studies(options, running)
        wanted.append(_dashboard(storage, options.optuna_port))
    for one in wanted:
        running.enter_context(one)
        print(f"Starting {one.name} ...", flush=True)
    pages = [store] if remote else []
    for one in wanted:
        one.wait(stop)
        pages.append(one.url)
    if stop.is_set():
        return
    pages[0] = mlflow_page.of_experiment(pages[0], options.experiment)
    _show(pages, browser=not options.no_browser)
    if wanted:
        print("Ctrl-C ends it", flush=True)
    while wanted and not stop.wait(CHECK_SECONDS):
        for one in wanted:
            one.check()
        if studies:
            studies.refresh()


def _check_store(uri: str, key: str) -> None:
    """Check that there is a database to show."""
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme == "sqlite" and not paths.sqlite_file(uri).is_file():
        found = "there is no MLflow store yet; the first run makes it"
        raise ConfigError(key, uri, found, "python -m catdog.train")
    if parts.scheme == "sqlite":
        for old in relocation.follow(paths.sqlite_file(uri)):
            print(f"The store was in {old} before: its artifacts are found where it is now")
    if parts.scheme != "sqlite" and parts.hostname:
        port = parts.port or (5432 if parts.scheme.startswith("postgres") else 3306)
        server.check_reachable(key, paths.without_password(uri), parts.hostname, port)


def _mlflow(store: str, port: int) -> Server:
    """Return MLflow's server for one user: without jobs, with one worker."""
    server.check_port("--port", port)
    words = ["--host", HOST, "--port", str(port), "--workers", "1"]
    words += ["--uvicorn-opts", "--timeout-graceful-shutdown 1"]
    env = {
        "MLFLOW_BACKEND_STORE_URI": store,  # not on the command line: it may contain a password
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": os.environ.get("MLFLOW_DISABLE_TELEMETRY", "true"),
    }
    if store.startswith("sqlite:"):  # for experiments that are created in the page
        artifacts = paths.sqlite_file(store).parent / "artifacts"
        env["MLFLOW_DEFAULT_ARTIFACT_ROOT"] = artifacts.resolve().as_uri()
    return Server("MLflow", [sys.executable, "-m", "mlflow", "server", *words], port, env)


def _studies(options: argparse.Namespace, running: ExitStack) -> tuple[str, StudyCopies | None]:
    """Return the database to show, and the copies to update if it consists of copies."""
    if options.study:
        return database(options.sweeps, options.study), None
    copy = Path(running.enter_context(tempfile.TemporaryDirectory())) / "studies.db"
    studies = StudyCopies(options.sweeps, copy)
    if not studies.refresh():
        found = "there is no study yet; a sweep makes it"
        raise ConfigError("--sweeps", options.sweeps, found, "python -m catdog.sweep smoke")
    return f"sqlite:///{copy}", studies


def _dashboard(storage: str, port: int) -> Server:
    server.check_port("--optuna-port", port)
    if importlib.util.find_spec("optuna_dashboard") is None:
        raise CatdogError("--optuna needs its dashboard: pip install 'catdog-lab[dashboard]'")
    words = [sys.executable, "-m", "catdog.system.dashboard", str(port)]
    return Server("Optuna's dashboard", words, port, {dashboard.STORAGE: storage})


def _show(pages: list[str], *, browser: bool) -> None:
    for name, page in zip(("MLflow", "Optuna"), pages, strict=False):
        print(f"{name:<8}{paths.without_password(page)}", flush=True)
        if browser:
            webbrowser.open(page)


if __name__ == "__main__":
    main()
