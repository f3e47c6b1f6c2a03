"""What a search would do, and how long a pilot of it says that takes."""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from optuna_workers import search_plan, status
from optuna_workers.search_plan import SearchPlan

from catdog.cli import hydra_app
from catdog.cli.overrides import key_of
from catdog.core import paths
from catdog.errors import CatdogError
from catdog.study import catalog

OURS = """hydra.sweeper.n_trials hydra.sweeper.study_name hydra.sweeper.storage hydra.sweep.dir
tracking.uri""".split()
"""What the pilot sets itself."""

STOP_SECONDS = 30


@dataclass(frozen=True)
class Pilot:
    """What a small part of a search took.

    Attributes:
        trials: How many there were.
        failed: How many of them did.
        seconds: All of it, from its start to its end.
        warm: A trial in a process that has had one before, or None if there was none.
    """

    trials: int
    failed: int
    seconds: float
    warm: float | None


def tell(name: str, overrides: Sequence[str]) -> None:
    """Print what a search would do, run its pilot, and print the estimate."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with hydra_app.one_message():
        known = {search.name: search for search in catalog.searches(paths.sweeps())}
        if name not in known:
            raise CatdogError(catalog.unknown_message(name, list(known)))
        config, planned = _composed(name, overrides)
        print(f"{name}: {known[name].question}")
        for title, text in _plan(config, planned, known[name].budget):
            print(f"{title:<11}{text}")
        trials = min(planned.n_trials, 2 * planned.n_jobs)
        print(f"{'pilot':<11}{trials} trials in a throw-away folder ...", flush=True)
        pilot = run(name, overrides, trials, planned.n_jobs)
        for line in estimate(pilot, planned.n_trials, planned.n_jobs):
            print(f"{'':<11}{line}")


def _composed(name: str, overrides: Sequence[str]) -> tuple[DictConfig, SearchPlan]:
    """Compose a search as its sweep does, and check it as far as that can be done at once."""
    from hydra import initialize_config_dir
    from hydra._internal.callbacks import Callbacks
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import HydraContext, RunMode

    logging.getLogger("optuna").setLevel(logging.WARNING)
    words = [f"hydra.searchpath=[file://{paths.configs()}]", *overrides]
    try:
        with initialize_config_dir(str(paths.sweeps()), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            # the compose function would refuse what is swept
            config = loader.load_configuration(name, words, RunMode.MULTIRUN, from_shell=False)
            context = HydraContext(config_loader=loader, callbacks=Callbacks())
            planned = search_plan.describe(context, config)
            hydra_app.settings_of(planned.config)
    except Exception as error:
        message = hydra_app.explain(error)
        if message is None or hydra_app.VERBOSE:
            raise
        raise CatdogError(message) from None
    return config, planned


def _plan(config: DictConfig, planned: SearchPlan, budget: str) -> list[tuple[str, str]]:
    lines = [("budget", budget)] if budget else []
    width = max((len(key) for key in planned.parameters), default=0)
    for key, known in planned.parameters.items():
        lines.append(("" if lines[1:] else "searches", f"{key:<{width}}  {values(known)}"))
    fixed = " ".join(planned.overrides)
    sampler = "auto: TPE" if planned.sampler == "auto" else planned.sampler
    return [
        *lines,
        *([("fixed", fixed)] if fixed else []),
        ("trials", f"{planned.n_trials}, {planned.n_jobs} side by side"),
        ("goal", f"{', '.join(planned.directions)} {config.objective.metric}"),
        ("sampler", "every combination once" if planned.enumerated else sampler),
        ("pruner", planned.pruner),
        ("storage", planned.storage),
    ]


def values(known: Mapping[str, Any]) -> str:
    """Return what a key is searched among, and where.

    Args:
        known: The key's part of a space, as the sweeper keeps it in a study.
    """
    if known["kind"] == "choice":
        text = f"one of {', '.join(known['choices'])}"
    else:
        text = f"{known['low']:g} to {known['high']:g}"
        text += f" in steps of {abs(known['step']):g}" if known["step"] else ""
        text += ", by its logarithm" if known["log"] else ""
    needed = [f"{key} is {' or '.join(some)}" for key, some in known.get("when", {}).items()]
    return f"{text}, only where {' and '.join(needed)}" if needed else text


def run(name: str, overrides: Sequence[str], trials: int, jobs: int) -> Pilot:
    """Run the first trials of a search, with study and runs in a folder that goes away.

    What it says goes to stderr. Photos, weights and features stay in the cache.

    Raises:
        CatdogError: it failed; it has said why.
    """
    with tempfile.TemporaryDirectory(prefix="catdog-pilot-") as folder:
        mine = dict.fromkeys(OURS, "") | {
            "hydra.sweeper.n_trials": str(trials),
            "hydra.sweeper.study_name": "pilot",
            "hydra.sweeper.storage": "null",
            "hydra.sweep.dir": f"'{folder}/pilot'",
            "tracking.uri": f"'sqlite:///{folder}/mlflow.db'",
        }
        theirs = [word for word in overrides if key_of(word) not in mine]
        words = [name, *theirs, *(f"{key}={value}" for key, value in mine.items())]
        started = time.monotonic()
        status = _wait([sys.executable, "-m", "catdog.sweep", *words])
        seconds = time.monotonic() - started
        if status:
            raise CatdogError(f"the pilot of {name} failed, as the search would; see above")
        return _read(Path(folder) / "pilot" / "study.db", seconds, jobs)


def _wait(words: list[str]) -> int:
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _read(study: Path, seconds: float, jobs: int) -> Pilot:
    """Read the sweeper's own clock: it counts what lies around a trial too."""
    slots = status.times(str(study))
    good = [slot.ended - slot.started for slot in slots[jobs:] if slot.state != "FAIL"]
    failed = sum(slot.state == "FAIL" for slot in slots)
    return Pilot(len(slots), failed, seconds, sum(good) / len(good) if good else None)


def estimate(pilot: Pilot, total: int, jobs: int) -> list[str]:
    """Return what is to be said of a pilot and of the whole search.

    Args:
        pilot: What was measured.
        total: Trials of the search.
        jobs: How many run side by side.
    """
    left = total - pilot.trials
    said = [f"{pilot.trials} trials took {span(pilot.seconds)}, start and pictures included"]
    if pilot.failed:
        said.append(f"{pilot.failed} of them failed: the search would lose trials too")
    if left > 0 and pilot.warm is None:
        return [*said, "no trial ran in a warm process: there is no estimate"]
    if pilot.warm is not None:
        said[0] += f"; one in a warm process {span(pilot.warm)}"
    whole = pilot.seconds + (pilot.warm or 0) * math.ceil(max(left, 0) / jobs)
    return [
        *said,
        f"estimate: {span(whole)} for {total} trials, {jobs} side by side on {_cores()}",
        "it is rough: the second round stands for all, and a pruner may end trials early",
        "features that the pilot computed stay in the cache: the search itself begins warm",
    ]


def span(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 599.5:
        return f"{round(seconds) // 60} min {round(seconds) % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _cores() -> str:
    number = len(os.sched_getaffinity(0))
    return f"{number} core{'' if number == 1 else 's'}"
