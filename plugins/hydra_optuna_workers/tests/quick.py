"""Runs a program in a fork of a process that has its libraries: half of a start is imports."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.processes import Ended

PRELOADED = ["hydra.main", "optuna", "optuna.storages", "sqlalchemy.orm", "alembic.command",
             "alembic.context", "cloudpickle", "rich.live", "psutil", "filelock"]  # fmt: skip
"""Nothing of the project: each program imports the plugin from where its path says."""

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(PRELOADED)


def run(
    app: Path, words: list[str], *, cwd: Path, env: Mapping[str, str], timeout: float = 120
) -> Ended:
    """Run a Python file as a program and return what it said."""
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder, name)) for name in ("out", "err")]
        start = (str(app), words, str(cwd), dict(env), *files)
        process = _server.Process(target=_become, args=start)
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
        out, err = (Path(file).read_text() if Path(file).exists() else "" for file in files)
    return Ended(process.exitcode or 0, out, err)


def _become(app: str, words: list[str], cwd: str, env: dict[str, str], out: str, err: str) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    for number, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    places = [place for place in env.get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.path[:0] = [str(Path(app).parent), *places]
    for place in places:  # what Python itself would have done at its start
        if (custom := Path(place, "sitecustomize.py")).exists():
            runpy.run_path(str(custom))
    sys.argv = [app, *words]
    runpy.run_path(app, run_name="__main__")
