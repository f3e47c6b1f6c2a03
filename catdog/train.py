"""python -m catdog.train: one run, or several with -m.

Only what Hydra needs is imported at the top, so that --help, --cfg and tab completion are quick.
"""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hydra
from omegaconf import DictConfig, OmegaConf

from catdog import paths
from catdog.errors import CatdogError

if TYPE_CHECKING:
    from catdog.origin import Origin
    from catdog.settings import Settings

VERBOSE = os.environ.get("HYDRA_FULL_ERROR") == "1"
FILE_KEYS = ("data.path", "backbone.weights", "features.dir")
STARTED = time.perf_counter()
PROCESS = f"{os.getpid()}-{uuid.uuid4().hex[:4]}"
"""Part of Hydra's folder names, so that two runs of one second never share one."""

OmegaConf.register_new_resolver("catdog.root", lambda: str(paths.root()), replace=True)
OmegaConf.register_new_resolver("catdog.process", lambda: PROCESS, replace=True)


def task(cfg: DictConfig) -> float:
    """Run what the composed configuration says and return the objective."""
    gc.enable()
    from catdog import keys

    try:
        settings = keys.parse(_plain(cfg))  # refuses bad values before anything heavy is imported
        return _run(settings, _origin(cfg))
    except CatdogError as error:
        if VERBOSE:
            raise
        # raised, it would pass through Hydra, which prints lines of its own around it
        raise SystemExit(f"catdog: {error}") from None


def _plain(cfg: DictConfig) -> dict:
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def _origin(cfg: DictConfig) -> Origin:
    from hydra.core.hydra_config import HydraConfig

    from catdog.origin import Origin

    job = HydraConfig.get()
    return Origin(
        overrides=tuple(absolute(override) for override in job.overrides.task),
        resolved=OmegaConf.to_yaml(cfg, resolve=True),
        hydra_dir=job.runtime.output_dir,
    )


def absolute(override: str) -> str:
    """Return an override whose file is named in full, so that it repeats from any folder."""
    key, _, value = override.partition("=")
    path = Path(value).expanduser()
    if key not in FILE_KEYS or not value or path.is_absolute() or not path.exists():
        return override
    return f"{key}='{path.absolute()}'"


def _run(settings: Settings, origin: Origin) -> float:
    from catdog import console, data, runtime, weights

    runtime.configure(settings.threads)
    progress = console.Console()
    cache = Path(settings.features.dir).expanduser()
    data.require_writable(cache)
    manifest = data.prepare(settings.data, cache, progress, settings.threads)
    choice = settings.backbone
    found = weights.resolve(
        choice.name,
        alpha=choice.alpha,
        weights=choice.weights,
        source=choice.weights_source,
        cache_dir=cache,
        notify=progress.note,
    )
    from catdog import tracking

    tracker = tracking.Tracker(
        uri=settings.tracking.uri, experiment=settings.tracking.experiment, root=paths.root()
    )
    runtime.load_tensorflow()
    from catdog import experiment

    clock = experiment.Clock(started=STARTED)
    outcome = experiment.run(
        settings, manifest, found, tracker, origin=origin, progress=progress, clock=clock
    )
    console.summarize(outcome, tracker.how_to_browse(outcome.run_id))
    return outcome.objective


def main() -> None:
    """Run Hydra; show what a person can mend as one message, anything else as a traceback."""
    signal.signal(signal.SIGTERM, _terminate)
    gc.disable()  # Hydra copies its configuration some 150,000 times and leaves no garbage
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing; see _explain
    try:
        hydra.main(version_base="1.3", config_path=str(paths.configs()), config_name="train")(
            task
        )()
    except KeyboardInterrupt:
        _leave("interrupted", 130)
    except Exception as error:
        message = _explain(error)
        if VERBOSE or message is None:
            raise
        _leave(message, 1)


def _terminate(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt  # the same clean end as Ctrl-C


def _leave(message: str, status: int) -> NoReturn:
    from catdog import console

    console.complain(message)
    sys.exit(status)


def _explain(error: Exception) -> str | None:
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


if __name__ == "__main__":
    main()
