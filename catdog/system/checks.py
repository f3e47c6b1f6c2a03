"""What catdog.doctor looks at. Each check stands alone: one that fails costs only its own line.

Nothing is made or changed by looking, and what may be missing is imported only where it is needed.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
import urllib.error
import urllib.request
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import TimeoutError as Late
from multiprocessing.pool import ThreadPool
from pathlib import Path

from catdog.core import paths
from catdog.errors import CatdogError
from catdog.system import databases

OK, NOTE, WARNING, RED = "ok", "-", "warning", "red"

DISTRIBUTION = "catdog-lab"
LIBRARIES = ("tensorflow", "keras", "hydra-core", "omegaconf", "mlflow", "optuna")
EXTRAS = {
    "dashboard": "optuna-dashboard",
    "joblib": "hydra-joblib-launcher",
    "ray": "hydra-ray-launcher",
    "slurm": "hydra-submitit-launcher",
    "postgres": "psycopg",
    "tfds": "tensorflow-datasets",
}
NETWORK_SECONDS = 5
GB = 10**9
DISK_LEAST, DISK_FEW, MEMORY_FEW = GB // 10, 2 * GB, 2 * GB
"""20,000 photos take 0.3 GB of cache; a run takes under 2 GB of memory, flatten_mlp's 5."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's.

    Attributes:
        mark: ``OK``, ``NOTE``, ``WARNING`` or ``RED``.
        name: What was looked at.
        said: What was found.
        fix: What to do about it; empty where nothing is to be done.
    """

    mark: str
    name: str
    said: str
    fix: str = ""


Check = Callable[[Namespace], Iterator[Finding]]


def alone(name: str, check: Check, asked: Namespace) -> Iterator[Finding]:
    """Yield what a check finds; its own failure is a finding too."""
    try:
        yield from check(asked)
    except CatdogError as error:
        yield Finding(RED, name, str(error))
    except ImportError as error:
        yield Finding(RED, name, str(error), f"pip install --force-reinstall {error.name or ''}")
    except Exception as error:
        said = f"this check itself failed: {type(error).__name__}: {error}"
        yield Finding(RED, name, said, "see what it names")


def python(asked: Namespace) -> Iterator[Finding]:
    """Look at the interpreter."""
    from packaging.specifiers import SpecifierSet

    version = platform.python_version()
    said = f"{version}, {sys.executable}"
    try:
        wanted = importlib.metadata.metadata(DISTRIBUTION)["Requires-Python"]
    except importlib.metadata.PackageNotFoundError:
        yield Finding(OK, "Python", said)
        return
    if version in SpecifierSet(wanted, prereleases=True):
        yield Finding(OK, "Python", said)
    else:
        fix = "make an environment with another Python"
        yield Finding(RED, "Python", f"{said}; catdog needs {wanted}", fix)


def libraries(asked: Namespace) -> Iterator[Finding]:
    """Compare what is installed with what catdog requires."""
    from packaging.requirements import Requirement

    try:
        requires = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        fix = "pip install -e . in its folder"
        yield Finding(WARNING, "libraries", "catdog itself is not installed", fix)
        return
    wanted = [Requirement(text) for text in requires]
    wrong = 0
    for one in wanted:
        found = _version(one.name)
        if one.marker and not one.marker.evaluate({"extra": ""}):
            continue
        if found is None or not one.specifier.contains(found, prereleases=True):
            wrong += 1
            said = f"{one.name} {found or 'is not installed'}; catdog needs {one.specifier}"
            yield Finding(RED, "libraries", said, f"pip install '{one.name}{one.specifier}'")
    shown = ", ".join(f"{name} {_version(name) or 'missing'}" for name in LIBRARIES)
    mark = NOTE if wrong else OK
    yield Finding(mark, "libraries", f"catdog {_version(DISTRIBUTION)}: {shown}")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def sweeper(asked: Namespace) -> Iterator[Finding]:
    """Look for another plugin of the same name."""
    from hydra.errors import HydraException
    from optuna_workers import checks

    try:
        checks.alone()
    except HydraException:
        said = "hydra-optuna-sweeper is installed too and has the same name: sweeps will not start"
        yield Finding(RED, "sweeper", said, "pip uninstall hydra-optuna-sweeper")
    else:
        yield Finding(OK, "sweeper", "hydra/sweeper=optuna is catdog's")


def extras(asked: Namespace) -> Iterator[Finding]:
    """Say which extras are there."""
    there = [f"{name} {v}" for name, library in EXTRAS.items() if (v := _version(library))]
    lacking = [name for name, library in EXTRAS.items() if not _version(library)]
    said = f"installed: {', '.join(there) or 'none'}"
    if lacking:
        said += f"; not: {', '.join(lacking)} (pip install 'catdog-lab[{lacking[0]}]')"
    yield Finding(NOTE, "extras", said)


def cores(asked: Namespace) -> Iterator[Finding]:
    """Say how many threads a run will have."""
    from catdog.system import resources

    number = resources.cores()
    said = f"{number:g} core{'' if number == 1 else 's'}"
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    limits = [f"{name}={os.environ[name]}" for name in names if name in os.environ]
    if limits:
        said = f"{said}, but {' '.join(limits)}"
        yield Finding(WARNING, "threads", said, f"unset {limits[0].partition('=')[0]}")
    else:
        yield Finding(OK, "threads", f"{said}; a run takes all of them, or threads=N")


def memory(asked: Namespace) -> Iterator[Finding]:
    """Look for memory that a run can have."""
    from catdog.system import resources

    free, total = resources.memory()
    said = f"{free / GB:.1f} GB free of {total / GB:.1f} GB"
    fix = "end other programs, or backbone.image_size=160 features.batch_size=16"
    yield _enough("memory", said, free, MEMORY_FEW, fix)


def _enough(name: str, said: str, free: int, few: int, fix: str, least: int = 0) -> Finding:
    if free >= few:
        return Finding(OK, name, said)
    return Finding(RED if free < least else WARNING, name, said, fix)


def disk(asked: Namespace) -> Iterator[Finding]:
    """Look whether the cache can be written, and for room there."""
    from catdog.system import resources

    root = _cache(asked)
    place, fix = resources.nearest(root), "features.dir=<folder on another disk>"
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        yield Finding(RED, "disk", f"{root} cannot be written: {place} belongs to another", fix)
        return
    free = resources.disk_free(root)
    said = f"{free / GB:.1f} GB free at {root}"
    fix = f"python -m catdog.cache prune --older-than 30d, or {fix}"
    yield _enough("disk", said, free, DISK_FEW, fix, DISK_LEAST)


def _cache(asked: Namespace) -> Path:
    return Path(asked.dir).expanduser()


def cache(asked: Namespace) -> Iterator[Finding]:
    """Say what the cache takes."""
    from catdog.system import cache_contents

    items = cache_contents.items(_cache(asked))
    sizes = {kind: sum(i.size for i in items if i.kind == kind) for kind in cache_contents.KINDS}
    parts = ", ".join(
        f"{kind} {cache_contents.bytes_text(size)}" for kind, size in sizes.items() if size
    )
    total = cache_contents.bytes_text(sum(sizes.values()))
    yield Finding(NOTE, "cache", f"{total}: {parts}" if parts else "empty; runs fill it")


def weights(asked: Namespace) -> Iterator[Finding]:
    """Look for MobileNetV2's weights, and if they are not here, for where they can be had."""
    from catdog.models import pretrained as known

    try:
        found = known.on_this_machine("mobilenet_v2", cache_dir=_cache(asked))
    except OSError:
        pass
    else:
        said = f"mobilenet_v2 is here, from {found.source}, SHA-256 {found.sha256[:12]}"
        yield Finding(OK, "weights", said)
        return
    url, package = known.downloads("mobilenet_v2")
    answers = {"Keras' host": _answers(url), "the package index": _in_index(package)}
    reached = [name for name, problem in answers.items() if not problem]
    if reached:
        said = f"mobilenet_v2 is not here; {' and '.join(reached)} can be reached"
        yield Finding(WARNING, "weights", said, "python -m catdog.weights fetches it")
    else:
        said = "; ".join(f"{name}: {problem}" for name, problem in answers.items())
        fix = f"copy {Path(url).name} to ~/.keras/models, or backbone.weights=<file>"
        yield Finding(RED, "weights", f"mobilenet_v2 is not here, nor to be had: {said}", fix)


def _answers(url: str) -> str:
    """Return why a host cannot be reached, or nothing."""
    asked = urllib.request.Request(url, method="HEAD")
    pool = ThreadPool(1)  # a name look-up knows no time-out
    try:
        opening = pool.apply_async(urllib.request.urlopen, (asked,), {"timeout": NETWORK_SECONDS})
        opening.get(NETWORK_SECONDS).close()
    except Late:
        return f"no answer within {NETWORK_SECONDS} s"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
    return ""


def _in_index(package: str) -> str:
    """Return why pip cannot find a package, or nothing."""
    name = package.partition("==")[0]
    options = ["--retries=0", f"--timeout={NETWORK_SECONDS}", "--no-cache-dir", "--no-input"]
    words = [sys.executable, "-m", "pip", "--disable-pip-version-check", "index", "versions"]
    try:
        done = subprocess.run(
            [*words, name, *options], capture_output=True, text=True, timeout=4 * NETWORK_SECONDS
        )
    except subprocess.TimeoutExpired:
        return "pip does not answer"
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    return lines[-1].removeprefix("ERROR: ") if lines else f"pip: status {done.returncode}"


def runs(asked: Namespace) -> Iterator[Finding]:
    """Look whether the MLflow store answers."""
    uri, key = databases.asked(asked.uri)
    shown = paths.without_password(uri)
    if uri.startswith(("http://", "https://")):
        databases.check_server(uri, key, NETWORK_SECONDS)
        yield Finding(OK, "MLflow", f"{shown} answers")
    elif "://" not in uri or uri.startswith("file:"):
        said = f"{key}={shown} is a folder; catdog's runs want a database or a server"
        yield Finding(WARNING, "MLflow", said, "sqlite:///mlruns/mlflow.db")
    elif uri.startswith("sqlite:") and not paths.sqlite_file(uri).exists():
        yield Finding(OK, "MLflow", f"{shown} is made by the first run")
    else:
        try:
            found = databases.runs(uri)
        except CatdogError as error:
            fix = "" if "; try " in str(error) else "; try `--uri <one that answers>`"
            raise CatdogError(f"{key}={shown}: {error}{fix}") from None
        yield Finding(OK, "MLflow", f"{shown}: {found or 'empty; the first run makes its tables'}")


def studies(asked: Namespace) -> Iterator[Finding]:
    """Look whether the studies' databases answer."""
    if asked.storage:
        yield Finding(OK, "studies", _storage(asked.storage))
        return
    folder, counts, bad = Path(asked.sweeps), [], []
    for file in sorted(folder.glob("*/study.db")):
        try:
            counts.append(databases.studies(f"sqlite:///{file.absolute()}") or (0, 0))
        except CatdogError as error:
            bad.append(f"{file}: {error}")
    total = [sum(some) for some in zip(*counts, strict=True)] or [0, 0]
    yield Finding(OK, "studies", f"{total[0]} in {folder}, {total[1]} trials")
    for said in bad:
        yield Finding(WARNING, "studies", said, "move its folder away; the sweep starts anew")


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


ALL: Sequence[tuple[str, Check]] = (
    ("Python", python), ("libraries", libraries), ("sweeper", sweeper), ("extras", extras),
    ("threads", cores), ("memory", memory), ("disk", disk), ("cache", cache),
    ("weights", weights), ("MLflow", runs), ("studies", studies),
)  # fmt: skip
"""In the order of the lines; TensorFlow's devices come last, since they take longest."""
