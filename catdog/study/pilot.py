"""Runs the first trials of a search as a pilot and estimates how long the whole search takes."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from optuna_workers import status

from catdog.cli.overrides import key_of
from catdog.core import commands
from catdog.errors import CatdogError

PILOT_KEYS = """hydra.sweeper.n_trials hydra.sweeper.study_name hydra.sweeper.storage
hydra.sweep.dir tracking.uri""".split()
"""Keys that the pilot sets, whatever the search and the command line say."""

STOP_SECONDS = 30


@dataclass(frozen=True)
class Pilot:
    """What was measured of the first trials of a search.

    Attributes:
        trials: Number of trials.
        failed: Number of those that failed.
        seconds: Duration of the pilot, from its start to its end.
        warm: Mean duration in seconds of the trials in a process that had run one before; None if
            there were none.
    """

    trials: int
    failed: int
    seconds: float
    warm: float | None


def run(name: str, overrides: Sequence[str], trials: int, jobs: int) -> Pilot:
    """Run the first trials of a search, with study and runs in a temporary folder.

    Its output goes to stderr. Photos, weights and features stay in the cache.

    Args:
        name: Name of the search's file in sweeps/.
        overrides: Further overrides.
        trials: Number of trials.
        jobs: Number of trials that run side by side.

    Raises:
        CatdogError: the pilot failed; its output says why.
    """
    with tempfile.TemporaryDirectory(prefix="catdog-pilot-") as folder:
        own = dict.fromkeys(PILOT_KEYS, "") | {
            "hydra.sweeper.n_trials": str(trials),
            "hydra.sweeper.study_name": "pilot",
            "hydra.sweeper.storage": "null",
            "hydra.sweep.dir": commands.quoted(f"{folder}/pilot"),
            "tracking.uri": commands.quoted(f"sqlite:///{folder}/mlflow.db"),
        }
        others = [word for word in overrides if key_of(word) not in own]
        words = [name, *others, *(f"{key}={value}" for key, value in own.items())]
        started = time.monotonic()
        exit_code = _wait([sys.executable, "-m", "catdog.sweep", *words])
        seconds = time.monotonic() - started
        if exit_code:
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
    """Read the times that the sweeper measured, which include what happens around a trial."""
    slots = status.times(str(study))
    good = [slot.ended - slot.started for slot in slots[jobs:] if slot.state != "FAIL"]
    failed = sum(slot.state == "FAIL" for slot in slots)
    return Pilot(len(slots), failed, seconds, sum(good) / len(good) if good else None)


def estimate(pilot: Pilot, total: int, jobs: int) -> list[str]:
    """Describe what a pilot took and estimate what the whole search takes.

    The estimate is the pilot's duration and that of a warm trial for each further round.

    Args:
        pilot: What was measured.
        total: Number of trials of the search.
        jobs: Number of trials that run side by side.

    Returns:
        Lines of text.

    Example:
        >>> estimate(Pilot(trials=2, failed=0, seconds=40, warm=None), total=2, jobs=1)[0]
        '2 trials took 40 s, start and pictures included'
    """
    left = total - pilot.trials
    lines = [f"{pilot.trials} trials took {span(pilot.seconds)}, start and pictures included"]
    if pilot.failed:
        lines.append(f"{pilot.failed} of them failed: the search would lose trials too")
    if left > 0 and pilot.warm is None:
        return [*lines, "no trial ran in a warm process: there is no estimate"]
    if pilot.warm is not None:
        lines[0] += f"; one in a warm process {span(pilot.warm)}"
    whole = pilot.seconds + (pilot.warm or 0) * math.ceil(max(left, 0) / jobs)
    return [
        *lines,
        f"estimate: {span(whole)} for {total} trials, {jobs} side by side on {_cores()}",
        "it is rough: the second round stands for all, and a pruner may end trials early",
        "features that the pilot computed stay in the cache: the search itself begins warm",
    ]


def span(seconds: float) -> str:
    """Return a duration as text.

    Example:
        >>> span(5.08), span(61), span(400), span(7200)
        ('5.1 s', '61 s', '6 min 40 s', '2 h 0 min')
    """
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
