"""What the commands share: how Hydra is started, how settings are checked, how errors are shown.

Only what Hydra needs is imported at the top, so that --help, --cfg and tab completion are quick.
"""

from __future__ import annotations

import gc
import os
import re
import shlex
import signal
import sys
import uuid
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from catdog import paths
from catdog.errors import CatdogError

if TYPE_CHECKING:
    from catdog.settings import Settings

VERBOSE = os.environ.get("HYDRA_FULL_ERROR") == "1"
CONFIG = "train"
"""Name of the configuration that every command composes, unless a search names its own."""

FILE_KEYS = ("data.path", "data.drop", "backbone.weights", "features.dir")
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
    from catdog import keys

    return keys.parse(plain(cfg))


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return a composed configuration as dictionaries, without Hydra's own part."""
    return {
        str(key): OmegaConf.to_container(value, resolve=True)
        if OmegaConf.is_config(value)
        else value
        for key, value in ((key, cfg[key]) for key in cfg if key != "hydra")
    }


def unnamed(cfg: DictConfig) -> list[str]:
    """Return the keys whose values the overrides alone do not give.

    They are those that a configuration file of one's own sets beside ``train``: a command made of
    the overrides would not repeat them. Only works while Hydra runs.

    Args:
        cfg: A composed configuration, ``hydra`` included.
    """
    job = cfg.hydra
    if job.job.config_name == CONFIG:
        return []
    alone = dict(_leaves(plain(hydra.compose(CONFIG, list(job.overrides.task)))))
    return [key for key, value in _leaves(plain(cfg)) if alone.get(key) != value]


def _leaves(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def named(words: Sequence[str]) -> dict[str, str]:
    """Return the values of all overrides by key, as text without quotes."""
    return {key_of(word): word.partition("=")[2].strip("'\"") for word in words if "=" in word}


def key_of(word: str) -> str:
    """Return what an override is about."""
    return word.lstrip("+~").partition("=")[0]


def absolute(override: str) -> str:
    """Return an override whose file is named in full, so that it repeats from any folder."""
    key, _, value = override.partition("=")
    path = Path(value).expanduser()
    if key not in FILE_KEYS or not value or path.is_absolute() or not path.exists():
        return override
    return f"{key}='{path.absolute()}'"


def typed() -> str:
    """Return this process's command, so that it can be pasted anywhere."""
    words = [absolute(word) for word in sys.argv[1:]]
    if words[:2] == ["--config-dir", str(paths.sweeps())]:  # by python -m catdog.sweep
        return shlex.join(["python", "-m", "catdog.sweep", *words[3:]])
    return shlex.join(["python", "-m", "catdog.train", *words])


def parser(module: str, description: str, epilog: str = "", **more: Any) -> ArgumentParser:
    """Return a command's parser, called as the person called it; the epilog is shown as it is."""
    called = sys.argv[0] if sys.argv[0].startswith("catdog ") else f"python -m catdog.{module}"
    look = RawDescriptionHelpFormatter
    return ArgumentParser(called, description=description, epilog=epilog,
                          formatter_class=look, **more)  # fmt: skip


def as_options(error: Exception) -> str:
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


def start(task: Callable[[DictConfig], Any]) -> None:
    """Run Hydra; show what a person can mend as one message, anything else as a traceback."""
    signal.signal(signal.SIGTERM, _terminate)
    gc.disable()  # Hydra copies its configuration some 150,000 times and leaves no garbage
    # it also copies all registered configs for each group that --help lists; nothing changes them
    ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing; see explain
    place = str(paths.configs())
    try:
        hydra.main(version_base="1.3", config_path=place, config_name=CONFIG)(task)()
    except KeyboardInterrupt:
        leave("interrupted", 130)
    except Exception as error:
        message = explain(error)
        if VERBOSE or message is None:
            raise
        leave(message, 1)


def _terminate(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt  # the same clean end as Ctrl-C


def leave(message: str, status: int) -> NoReturn:
    """Complain and end the process."""
    from catdog import console

    console.complain(message)
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
        from catdog import keys

        key = unknown.group(1).split("=")[0]
        return str(keys.unknown_key(key))
    return " ".join(str(error).split())
