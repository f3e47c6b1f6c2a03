"""The checks of catdog.doctor. They are independent: if one fails, the others still run.

They create and change nothing. Libraries that may be missing are imported where they are needed.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from catdog.core import paths
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
DISK_MIN, DISK_LOW, MEMORY_LOW = GB // 10, 2 * GB, 2 * GB
"""20,000 photos take 0.3 GB of cache; a run takes under 2 GB of memory, flatten_mlp's 5."""

Check = Callable[[Namespace], Iterator[Finding]]
"""Takes the options of catdog.doctor and yields findings."""


def guarded(name: str, check: Check, options: Namespace) -> Iterator[Finding]:
    """Yield the findings of a check; an exception that it raises becomes a finding too."""
    try:
        yield from check(options)
    except CatdogError as error:
        yield Finding(RED, name, str(error))
    except ImportError as error:
        yield Finding(RED, name, str(error), f"pip install --force-reinstall {error.name or ''}")
    except Exception as error:
        text = f"this check itself failed: {type(error).__name__}: {error}"
        yield Finding(RED, name, text, "see what it names")


def python(options: Namespace) -> Iterator[Finding]:
    """Check the version of Python."""
    from packaging.specifiers import SpecifierSet

    version = platform.python_version()
    text = f"{version}, {sys.executable}"
    try:
        wanted = importlib.metadata.metadata(DISTRIBUTION)["Requires-Python"]
    except importlib.metadata.PackageNotFoundError:
        yield Finding(OK, "Python", text)
        return
    if version in SpecifierSet(wanted, prereleases=True):
        yield Finding(OK, "Python", text)
    else:
        fix = "make an environment with another Python"
        yield Finding(RED, "Python", f"{text}; catdog needs {wanted}", fix)


def libraries(options: Namespace) -> Iterator[Finding]:
    """Check the versions of the libraries that catdog requires."""
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
            text = f"{one.name} {found or 'is not installed'}; catdog needs {one.specifier}"
            yield Finding(RED, "libraries", text, f"pip install '{one.name}{one.specifier}'")
    shown = ", ".join(f"{name} {_version(name) or 'missing'}" for name in LIBRARIES)
    mark = NOTE if wrong else OK
    yield Finding(mark, "libraries", f"catdog {_version(DISTRIBUTION)}: {shown}")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def sweeper(options: Namespace) -> Iterator[Finding]:
    """Check that no other sweeper with the same name is installed."""
    from hydra.errors import HydraException
    from optuna_workers import checks

    try:
        checks.alone()
    except HydraException:
        text = "hydra-optuna-sweeper is installed too and has the same name: sweeps will not start"
        yield Finding(RED, "sweeper", text, "pip uninstall hydra-optuna-sweeper")
    else:
        yield Finding(OK, "sweeper", "hydra/sweeper=optuna is catdog's")


def extras(options: Namespace) -> Iterator[Finding]:
    """Report which extras are installed."""
    found = [f"{name} {v}" for name, library in EXTRAS.items() if (v := _version(library))]
    missing = [name for name, library in EXTRAS.items() if not _version(library)]
    text = f"installed: {', '.join(found) or 'none'}"
    if missing:
        text += f"; not: {', '.join(missing)} (pip install 'catdog-lab[{missing[0]}]')"
    yield Finding(NOTE, "extras", text)


def cores(options: Namespace) -> Iterator[Finding]:
    """Check that a run can use all cores."""
    from catdog.system import resources

    number = resources.cores()
    text = f"{number:g} core{'' if number == 1 else 's'}"
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    limits = [f"{name}={os.environ[name]}" for name in names if name in os.environ]
    if limits:
        text = f"{text}, but {' '.join(limits)}"
        yield Finding(WARNING, "threads", text, f"unset {limits[0].partition('=')[0]}")
    else:
        yield Finding(OK, "threads", f"{text}; a run takes all of them, or threads=N")


def memory(options: Namespace) -> Iterator[Finding]:
    """Check that there is memory for a run."""
    from catdog.system import resources

    free, total = resources.memory()
    text = f"{free / GB:.1f} GB free of {total / GB:.1f} GB"
    fix = "end other programs, or backbone.image_size=160 features.batch_size=16"
    yield _enough("memory", text, free, MEMORY_LOW, fix)


def _enough(name: str, text: str, free: int, low: int, fix: str, least: int = 0) -> Finding:
    if free >= low:
        return Finding(OK, name, text)
    return Finding(RED if free < least else WARNING, name, text, fix)


def disk(options: Namespace) -> Iterator[Finding]:
    """Check that the cache can be written and has room."""
    from rich.filesize import decimal

    from catdog.system import resources

    root = _cache(options)
    folder, fix = resources.nearest(root), "features.dir=<folder on another disk>"
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        yield Finding(RED, "disk", f"{root} cannot be written: {folder} belongs to another", fix)
        return
    free = resources.disk_free(root)
    text = f"{decimal(free)} free at {root}"
    fix = f"python -m catdog.cache prune --older-than 30d, or {fix}"
    yield _enough("disk", text, free, DISK_LOW, fix, DISK_MIN)


def _cache(options: Namespace) -> Path:
    return paths.expanded(options.dir)


def cache(options: Namespace) -> Iterator[Finding]:
    """Report the size of the cache."""
    from rich.filesize import decimal

    from catdog.system import cache_contents

    items = cache_contents.items(_cache(options))
    sizes = {kind: sum(i.size for i in items if i.kind == kind) for kind in cache_contents.KINDS}
    parts = ", ".join(f"{kind} {decimal(size)}" for kind, size in sizes.items() if size)
    total = decimal(sum(sizes.values()))
    yield Finding(NOTE, "cache", f"{total}: {parts}" if parts else "empty; runs fill it")


ALL: Sequence[tuple[str, Check]] = (
    ("Python", python), ("libraries", libraries), ("sweeper", sweeper), ("extras", extras),
    ("threads", cores), ("memory", memory), ("disk", disk), ("cache", cache),
    ("weights", services.weights), ("MLflow", services.runs), ("studies", services.studies),
)  # fmt: skip
"""Name and check, in the order of the report; TensorFlow's devices follow, as they are slowest."""
