"""Where a study is kept, and how every job is told of it."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from optuna_workers.errors import SweepError
from optuna_workers.space import Space
from optuna_workers.space.grammar import quoted
from optuna_workers.storage import disks
from optuna_workers.workers.hydra_folder import fitting

log = logging.getLogger(__name__)

SQLITE = b"SQLite format 3\x00"
"""How a file begins that is a SQLite database; an empty one is as good."""


@dataclass(frozen=True)
class Location:
    """Where a study is kept.

    Attributes:
        name: Optuna's name of the study.
        url: Its database, with an absolute path.
        directory: ``hydra.sweep.dir``, absolute.
    """

    name: str
    url: str
    directory: Path

    def exists(self) -> bool:
        """Return whether there may be a study: a SQLite file is not made by looking."""
        return not self.url.startswith("sqlite") or file_of(self.url).exists()


def default_name(job: str, space: Space, directions: list[str], custom: str | None) -> str:
    """Return ``<job>-<8 hex>``: the same command has the same name."""
    facts = [list(space.fixed), space.canonical(), directions, custom]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return f"{job}-{digest[:8]}"


def locate(config: DictConfig, name: str, cwd: Path) -> Location:
    """Name the study in the configuration and return where that puts it."""
    with read_write(config), open_dict(config):
        config.hydra.sweeper.study_name = name
    directory = (cwd / fitting(str(config.hydra.sweep.dir))).resolve()
    url = config.hydra.sweeper.storage or f"sqlite:///{directory}/study.db"
    return Location(name, _absolute(str(url), cwd), directory)


def first(config: DictConfig, space: Space, directions: list[str]) -> Location:
    """Return where a command's study is kept, under its configured or its default name.

    The name is written into the configuration.
    """
    sweeper, cwd = config.hydra.sweeper, Path(str(config.hydra.runtime.cwd))
    if sweeper.study_name is not None:
        return locate(config, str(sweeper.study_name), cwd)
    job, custom = str(config.hydra.job.name), sweeper.custom_search_space
    return locate(config, default_name(job, space, directions, custom), cwd)


def file_of(url: str) -> Path:
    """Return the file of a SQLite database."""
    return Path(url.partition(":///")[2].partition("?")[0])


def beginning(file: Path) -> bytes:
    """Return the first bytes of a file, as many as ``SQLITE`` has; none where there is no file."""
    if not file.is_file():
        return b""
    with file.open("rb") as opened:
        return opened.read(len(SQLITE))


def warn_of_time(config: DictConfig) -> None:
    """Say so if the same command would look for its study elsewhere next time."""
    raw: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    if config.hydra.sweeper.storage is None and "now:" in str(raw["dir"]):
        log.warning(
            "hydra.sweep.dir holds the time, so the same command will not resume this study: set "
            "hydra.sweeper.storage, or hydra.sweep.dir to 'sweeps/${hydra.sweeper.study_name}'"
        )


def fix(config: DictConfig, where: Location) -> None:
    """Make every job compose with this study's name and an absolute directory."""
    fixed = [
        f"hydra.sweeper.study_name={quoted(where.name)}",
        f"hydra.sweep.dir={quoted(str(where.directory))}",
    ]
    # as text: an override may name ${hydra.job.num}, which is known in a job only
    given: Any = OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False)
    with read_write(config), open_dict(config):
        config.hydra.overrides.hydra = [*given, *fixed]
        config.hydra.sweep.dir = str(where.directory)


def _absolute(url: str, cwd: Path) -> str:
    if not url.startswith("sqlite"):
        return url
    scheme, separator, path = url.partition(":///")
    file, question, options = path.partition("?")
    if not separator or file in ("", ":memory:"):
        raise SweepError(
            "hydra.sweeper.storage", url, "workers are processes and cannot share memory",
            "a file such as sqlite:///study.db",
        )  # fmt: skip
    return f"{scheme}:///{cwd / file}{question}{options}"


def make_folder(where: Location) -> None:
    """Make the sweep's folder.

    Raises:
        SweepError: it cannot be made.
    """
    try:
        where.directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if disks.trouble(error, {}):  # full, or read-only: said with the place
            raise
        raise SweepError(
            "hydra.sweep.dir", where.directory, f"it cannot be made ({error.strerror})",
            "hydra.sweep.dir=<folder>",
        ) from None  # fmt: skip
