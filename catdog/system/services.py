"""The checks of catdog.doctor of what is elsewhere: weights, MLflow store, studies' databases."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from argparse import Namespace
from collections.abc import Iterator
from multiprocessing import TimeoutError as Late
from multiprocessing.pool import ThreadPool
from pathlib import Path

from catdog.core import paths
from catdog.errors import CatdogError
from catdog.mlflow_store import answers
from catdog.system import databases
from catdog.system.finding import OK, RED, WARNING, Finding

NETWORK_SECONDS = 5


def weights(options: Namespace) -> Iterator[Finding]:
    """Check that MobileNetV2's weights are on this machine or can be downloaded."""
    from catdog.models import pretrained

    try:
        found = pretrained.on_this_machine("mobilenet_v2", cache_dir=paths.expanded(options.dir))
    except OSError:
        pass
    else:
        text = f"mobilenet_v2 is here, from {found.source}, SHA-256 {found.sha256[:12]}"
        yield Finding(OK, "weights", text)
        return
    url, package = pretrained.downloads("mobilenet_v2")
    problems = {"Keras' host": _host_problem(url), "the package index": _index_problem(package)}
    reached = [name for name, problem in problems.items() if not problem]
    if reached:
        text = f"mobilenet_v2 is not here; {' and '.join(reached)} can be reached"
        yield Finding(WARNING, "weights", text, "python -m catdog.weights fetches it")
    else:
        text = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
        fix = f"copy {Path(url).name} to ~/.keras/models, or backbone.weights=<file>"
        yield Finding(RED, "weights", f"mobilenet_v2 is not here, nor to be had: {text}", fix)


def _host_problem(url: str) -> str:
    """Return why a host cannot be reached; empty if it can."""
    head = urllib.request.Request(url, method="HEAD")
    pool = ThreadPool(1)  # looking up a name has no time-out of its own
    try:
        opening = pool.apply_async(urllib.request.urlopen, (head,), {"timeout": NETWORK_SECONDS})
        opening.get(NETWORK_SECONDS).close()
    except Late:
        return f"no answer within {NETWORK_SECONDS} s"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
    return ""


def _index_problem(package: str) -> str:
    """Return why pip cannot find a package; empty if it can."""
    name = package.partition("==")[0]
    options = ["--retries=0", f"--timeout={NETWORK_SECONDS}", "--no-cache-dir", "--no-input"]
    words = [sys.executable, "-m", "pip", "--disable-pip-version-check", "index", "versions"]
    # pip asks a compiler on the path for its version, and rustup then makes a folder in the home
    env = {**os.environ, "PATH": str(Path(sys.executable).parent)}
    try:
        done = subprocess.run(
            [*words, name, *options],
            capture_output=True, text=True, env=env, timeout=4 * NETWORK_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "pip does not answer"
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    return lines[-1].removeprefix("ERROR: ") if lines else f"pip: status {done.returncode}"


def runs(options: Namespace) -> Iterator[Finding]:
    """Check that the MLflow store answers."""
    uri, key = databases.mlflow_store(options.uri)
    shown = paths.without_password(uri)
    if uri.startswith(("http://", "https://")):
        answers.check(uri, key, "--uri <one that answers>")
        yield Finding(OK, "MLflow", f"{shown} answers")
    elif "://" not in uri or uri.startswith("file:"):
        text = f"{key}={shown} is a folder; catdog's runs want a database or a server"
        yield Finding(WARNING, "MLflow", text, "sqlite:///mlruns/mlflow.db")
    elif uri.startswith("sqlite:") and not paths.sqlite_file(uri).exists():
        yield Finding(OK, "MLflow", f"{shown} is made by the first run")
    else:
        try:
            found = databases.runs(uri)
        except CatdogError as error:
            fix = "" if "; try " in str(error) else "; try `--uri <one that answers>`"
            raise CatdogError(f"{key}={shown}: {error}{fix}") from None
        yield Finding(OK, "MLflow", f"{shown}: {found or 'empty; the first run makes its tables'}")


def studies(options: Namespace) -> Iterator[Finding]:
    """Check that the studies' databases answer."""
    if options.storage:
        yield Finding(OK, "studies", _storage(options.storage))
        return
    folder, counts, bad = Path(options.sweeps), [], []
    for file in sorted(folder.glob("*/study.db")):
        try:
            counts.append(databases.studies(f"sqlite:///{file.absolute()}") or (0, 0))
        except CatdogError as error:
            bad.append(f"{file}: {error}")
    total = [sum(some) for some in zip(*counts, strict=True)] or [0, 0]
    yield Finding(OK, "studies", f"{total[0]} in {folder}, {total[1]} trials")
    for text in bad:
        fix = "move its folder away; the sweep starts from its first trial"
        yield Finding(WARNING, "studies", text, fix)


def _storage(url: str) -> str:
    shown = paths.without_password(url)
    if url.startswith("sqlite:") and not paths.sqlite_file(url).exists():
        return f"{shown} is made by the first sweep"
    try:
        found = databases.studies(url)
    except CatdogError as error:
        fix = "try `--storage <one that answers>`"
        raise CatdogError(f"hydra.sweeper.storage={shown}: {error}; {fix}") from None
    return f"{shown}: {found[0]} studies, {found[1]} trials" if found else f"{shown}: empty"
