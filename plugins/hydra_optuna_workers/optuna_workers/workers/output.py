"""Where a trial's output goes: its own folder, whoever writes it."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from hydra.core.utils import configure_log
from omegaconf import DictConfig, OmegaConf


@contextlib.contextmanager
def to_file(mode: str, directory: Path) -> Iterator[None]:
    """Send what the job prints, from C++ too, to ``output.log`` in its folder.

    Args:
        mode: ``hydra.sweeper.output``; with ``terminal`` nothing is redirected.
        directory: The trial's Hydra directory.
    """
    if mode != "file":
        yield
        return
    directory.mkdir(parents=True, exist_ok=True)
    kept = os.dup(1), os.dup(2)
    with (directory / "output.log").open("ab", buffering=0) as file:
        _flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        _flush()
        for number, original in enumerate(kept, start=1):
            os.dup2(original, number)
            os.close(original)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def close_logs(config: DictConfig) -> None:
    """Detach the job's log file, so that later lines do not land in it."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, logging.FileHandler):
            root.removeHandler(handler)
            handler.close()
    if not OmegaConf.is_missing(config.hydra, "hydra_logging"):
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
