"""Starts Hydra for the commands, checks settings, and shows errors as one message.

Only what Hydra needs is imported at the top, so that --help, --cfg and tab completion are quick.
"""

from __future__ import annotations

import functools
import gc
import os
import re
import sys
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.resolvers import oc
from optuna_workers.masking import remember
from optuna_workers.workers import hydra_folder

from catdog.cli import closed_pipe, typed
from catdog.cli.main import version
from catdog.cli.overrides import CONFIG, named, plain
from catdog.core import interrupts, paths
from catdog.errors import CatdogError, ConfigError

if TYPE_CHECKING:
    from catdog.settings import Settings

T = TypeVar("T")

VERBOSE = os.environ.get("HYDRA_FULL_ERROR") == "1"
"""Whether errors are shown with their traceback."""

PROCESS = f"{os.getpid()}-{uuid.uuid4().hex[:4]}"
"""Part of the names of Hydra's folders, so that runs of the same second have different ones."""


def _env(key: str, *default: Any) -> Any:
    """Return what ``oc.env`` does; an environment variable's value is not shown from then on."""
    if key in os.environ:
        remember(os.environ[key], f"${{oc.env:{key}}}")
    return oc.env(key, *default)


OmegaConf.register_new_resolver("oc.env", _env, replace=True)
OmegaConf.register_new_resolver("catdog.root", lambda: str(paths.root()), replace=True)
OmegaConf.register_new_resolver("catdog.process", lambda: PROCESS, replace=True)
OmegaConf.register_new_resolver("catdog.sum", lambda *numbers: sum(numbers), replace=True)


def settings_of(cfg: DictConfig) -> Settings:
    """Return the settings of a composed configuration; checks them without TensorFlow.

    Args:
        cfg: The configuration that Hydra composed.

    Raises:
        ConfigError: a key is unknown, would be ignored, or has a value that cannot work.
    """
    from hydra.core.hydra_config import HydraConfig

    from catdog.cli import choices
    from catdog.settings import parse

    job = cfg.hydra if "hydra" in cfg else HydraConfig.get() if HydraConfig.initialized() else None
    words = list(job.overrides.task) if job else []
    return parse.parse(plain(cfg), choices.named_keys(words))


def with_option_names(error: Exception) -> str:
    """Return an error's message with options in place of keys, for commands that have options.

    Example:
        >>> with_option_names(ValueError("tracking.uri=http://x: no answer"))
        '--uri=http://x: no answer'
    """
    return re.sub(r"\btracking\.(uri|experiment)=", r"--\1=", str(error))


@contextmanager
def one_message(cfg: DictConfig | None = None) -> Iterator[None]:
    """End the process with only the message of an error that the user can fix.

    That is a ``CatdogError``, and a disk that is full or cannot be written.

    Args:
        cfg: The composed configuration, whose places may be full; None outside of Hydra.
    """
    try:
        with disks_told(cfg):
            yield
    except CatdogError as error:
        if VERBOSE:
            raise
        # not the error itself: Hydra would print lines of its own around it
        raise SystemExit(f"catdog: {error}") from None


@contextmanager
def disks_told(cfg: DictConfig | None = None) -> Iterator[None]:
    """Raise the error of a full disk, or of one that cannot be written, as a ``CatdogError``.

    Args:
        cfg: The composed configuration, whose places may be full; None outside of Hydra.
    """
    try:
        yield
    except (CatdogError, BrokenPipeError):
        raise
    except Exception as error:
        message = None if VERBOSE else disk_trouble(error, cfg)
        if message is None:
            raise
        raise CatdogError(message) from None


def disk_trouble(error: Exception, cfg: DictConfig | None = None) -> str | None:
    """Return the message for an error of a disk, which names the place; None for another error.

    Args:
        error: Whatever was raised.
        cfg: The composed configuration; None outside of Hydra.
    """
    from optuna_workers.storage import disks

    typed, root = named(sys.argv[1:]), paths.root()
    uri = paths.store(cfg.tracking.uri if cfg else typed.get("tracking.uri"), root)
    places: dict[str, object] = {
        "tracking.uri": paths.sqlite_file(uri) if uri.startswith("sqlite:") else "",
        "features.dir": cfg.features.dir if cfg else typed.get("features.dir", "~/.cache/catdog"),
        "hydra.run.dir": typed.get("hydra.run.dir", root / "mlruns" / "hydra"),
        "hydra.sweep.dir": typed.get("hydra.sweep.dir", root / "sweeps"),
        "TMPDIR": disks.temporary(),
    }
    return disks.trouble(error, places)


def with_one_message(task: Callable[[DictConfig], T]) -> Callable[[DictConfig], T]:
    """Decorate a task for ``start``, so that an error that the user can fix is one message.

    Not for trials of a sweep: the sweeper shows their errors, and their runs have the tracebacks.

    Args:
        task: Takes the composed configuration.
    """

    @functools.wraps(task)
    def run(cfg: DictConfig) -> T:
        gc.enable()  # start has disabled it
        with one_message(cfg):
            return task(cfg)

    return run


def start(task: Callable[[DictConfig], Any], own: Sequence[str] = ()) -> None:
    """Run a task by Hydra. An error that the user can fix is one message, any other a traceback.

    Args:
        task: Takes the composed configuration; decorated by ``with_one_message`` unless it runs
            trials.
        own: Options that the command has beside Hydra's, for the message about an unknown one.
    """
    from catdog.cli import inspection

    if "--version" in sys.argv[1:]:  # Hydra would print its own
        print(version())
        return
    if any(word.startswith("--") for word in sys.argv[1:]):
        from catdog.cli import mistakes

        if message := mistakes.unknown_flag(sys.argv[1:], own):
            exit_with(message, 2)
    interrupts.handle()
    closed_pipe.end_quietly()
    paths.remember(Path.cwd())
    sys.argv[1:] = inspection.without_multirun(sys.argv[1:])
    gc.disable()  # Hydra copies its configuration some 150,000 times and leaves no garbage
    # it also copies all registered configs for each group that --help lists; nothing changes them
    ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing; see explain
    hydra_folder.mask_saved()
    folder = str(paths.configs())
    sys.modules["hydra.main"].get_args_parser = typed.parser  # type: ignore[attr-defined]
    if not any(word.startswith("-") for word in sys.argv[1:]):  # others, as --cfg, print at once
        from catdog.cli import console

        console.Console().note("Reading configuration and photos ...")
    try:
        sys.argv[1:] = typed.as_meant(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=folder, config_name=CONFIG)(task)()
    except KeyboardInterrupt:
        exit_with("interrupted", 130)
    except Exception as error:
        message = explain(error)
        if VERBOSE or message is None:
            raise
        exit_with(message, 1)


def exit_with(message: str, status: int) -> NoReturn:
    """Print an error and end the process with an exit code."""
    from catdog.cli import console

    console.print_error(message)
    sys.exit(status)


def explain(error: Exception) -> str | None:
    """Return the message for an error that the user can fix; None for a bug.

    Example:
        >>> explain(CatdogError("there is no such search")), explain(KeyError("x"))
        ('there is no such search', None)
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, CatdogError):
        return str(error)
    if not isinstance(error, (HydraException, OmegaConfBaseException)):
        from catdog.cli import inspection

        # Hydra makes its folder before the task
        return inspection.refusal(error) or disk_trouble(error) or _no_folder(error)
    from catdog.cli import mistakes

    typed, said = named(sys.argv[1:]), str(error)
    unknown = re.match(r"Could not (?:override|append|delete from) .*?'([\w.@/]+)", said)
    if unknown:
        return str(mistakes.unknown_key(unknown.group(1).split("=")[0], typed))
    return str(mistakes.wrong_option(said) or " ".join(said.split()))


def _no_folder(error: Exception) -> str | None:
    """Return the message for a folder that Hydra cannot make; None for any other error."""
    frames = [
        Path(frame.f_code.co_filename) for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    hydras = Path(str(hydra.__file__)).parent
    known = [frame for frame in frames if {hydras, paths.PACKAGE} & set(frame.parents)]
    if not isinstance(error, OSError) or isinstance(error, BrokenPipeError):
        return None
    if not known or not known[-1].is_relative_to(hydras):
        return None
    key = "hydra.sweep.dir" if {"-m", "--multirun"} & set(sys.argv) else "hydra.run.dir"
    place = named(sys.argv[1:]).get(key, error.filename)
    return str(ConfigError(key, place, f"cannot be made ({error.strerror})", f"{key}=<folder>"))
