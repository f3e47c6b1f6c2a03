"""What catdog.doctor looks at. Each check stands alone: one that fails costs only its own line.

Nothing is made or changed by looking, and what may be missing is imported only where it is needed.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from catdog.errors import CatdogError
from catdog.system import services
from catdog.system.finding import NOTE, OK, RED, WARNING, Finding

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
GB = 10**9
DISK_LEAST, DISK_FEW, MEMORY_FEW = GB // 10, 2 * GB, 2 * GB
"""20,000 photos take 0.3 GB of cache; a run takes under 2 GB of memory, flatten_mlp's 5."""


Check = Callable[[Namespace], Iterator[Finding]]


def guarded(name: str, check: Check, asked: Namespace) -> Iterator[Finding]:
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
    from rich.filesize import decimal

    from catdog.system import cache_contents

    items = cache_contents.items(_cache(asked))
    sizes = {kind: sum(i.size for i in items if i.kind == kind) for kind in cache_contents.KINDS}
    parts = ", ".join(f"{kind} {decimal(size)}" for kind, size in sizes.items() if size)
    total = decimal(sum(sizes.values()))
    yield Finding(NOTE, "cache", f"{total}: {parts}" if parts else "empty; runs fill it")


ALL: Sequence[tuple[str, Check]] = (
    ("Python", python), ("libraries", libraries), ("sweeper", sweeper), ("extras", extras),
    ("threads", cores), ("memory", memory), ("disk", disk), ("cache", cache),
    ("weights", services.weights), ("MLflow", services.runs), ("studies", services.studies),
)  # fmt: skip
"""In the order of the lines; TensorFlow's devices come last, since they take longest."""
