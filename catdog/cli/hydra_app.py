"""What the commands share: how Hydra is started, how settings are checked, how errors are shown.

Only what Hydra needs is imported at the top, so that --help, --cfg and tab completion are quick.
"""

from __future__ import annotations

import functools
import gc
import os
import re
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from catdog.cli.overrides import CONFIG, plain
from catdog.core import paths
from catdog.errors import CatdogError

if TYPE_CHECKING:
    from catdog.settings import Settings

T = TypeVar("T")

VERBOSE = os.environ.get("HYDRA_FULL_ERROR") == "1"

PROCESS = f"{os.getpid()}-{uuid.uuid4().hex[:4]}"
"""Part of Hydra's folder names, so that two runs of one second never share one."""

OmegaConf.register_new_resolver("catdog.root", lambda: str(paths.root()), replace=True)
OmegaConf.register_new_resolver("catdog.process", lambda: PROCESS, replace=True)
OmegaConf.register_new_resolver("catdog.sum", lambda *numbers: sum(numbers), replace=True)


def settings_of(cfg: DictConfig) -> Settings:
    """Check a composed configuration, before anything heavy is imported.

    Raises:
        ConfigError: a value is bad.
    """
    from catdog.settings import parse

    return parse.parse(plain(cfg))


def with_option_names(error: Exception) -> str:
    """Return a message in which the store is called as commands without Hydra's keys call it."""
    return re.sub(r"\btracking\.(uri|experiment)=", r"--\1=", str(error))


@contextmanager
def one_message() -> Iterator[None]:
    """End the process with the message alone for an error that the person can mend."""
    try:
        yield
    except CatdogError as error:
        if VERBOSE:
            raise
        # raised, it would pass through Hydra, which prints lines of its own around it
        raise SystemExit(f"catdog: {error}") from None


def with_one_message(task: Callable[[DictConfig], T]) -> Callable[[DictConfig], T]:
    """Decorate a task that ``start`` runs: an error that the user can fix is one message.

    Not for trials of a sweep: the sweeper shows their errors, and their runs have the tracebacks.
    """

    @functools.wraps(task)
    def run(cfg: DictConfig) -> T:
        gc.enable()  # off while Hydra composes
        with one_message():
            return task(cfg)

    return run


def start(task: Callable[[DictConfig], Any]) -> None:
    """Run Hydra; show what a person can mend as one message, anything else as a traceback.

    Args:
        task: Gets the composed configuration; ``with_one_message`` unless it runs trials.
    """
    signal.signal(signal.SIGTERM, _terminate)
    gc.disable()  # Hydra copies its configuration some 150,000 times and leaves no garbage
    # it also copies all registered configs for each group that --help lists; nothing changes them
    ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing; see explain
    place = str(paths.configs())
    try:
        hydra.main(version_base="1.3", config_path=place, config_name=CONFIG)(task)()
    except KeyboardInterrupt:
        exit_with("interrupted", 130)
    except Exception as error:
        message = explain(error)
        if VERBOSE or message is None:
            raise
        exit_with(message, 1)


def _terminate(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt  # the same clean end as Ctrl-C


def exit_with(message: str, status: int) -> NoReturn:
    """Complain and end the process."""
    from catdog.cli import console

    console.print_error(message)
    sys.exit(status)


def explain(error: Exception) -> str | None:
    """Return the one message for an error that the person caused, or null for a bug."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, CatdogError):
        return str(error)
    if not isinstance(error, (HydraException, OmegaConfBaseException)):
        return None
    unknown = re.match(r"Could not (?:override|append|delete from) .*?'([\w.@/]+)", str(error))
    if unknown:
        from catdog.settings import parse

        key = unknown.group(1).split("=")[0]
        return str(parse.unknown_key(key))
    return " ".join(str(error).split())
