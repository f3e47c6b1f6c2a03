"""What do workers gain over batches, and what does a trial cost in the sweeper?

Three measurements. All times come from a log that the task itself writes, so no side's start-up
counts: not the imports, not the first composition, not the start of the first child.

    batches  80 tasks sleep 1 s, one in five 5 s, in the same random order for both, 4 at a time.
             Ours is a command of the plugin with 4 child processes. The other side does what
             hydra-optuna-sweeper does: ask for 4 trials, run them side by side, wait for all,
             tell, ask for the next 4; its tasks are threads without Hydra, which flatters it.
             Counted: from the first task's start to the last one's end.
    cost     500 trials of an empty task, one after another, random sampler, SQLite:
               loop     ``load_sweep_config``, ``run_job`` and ``study.ask`` / ``study.tell``, the
                        same configuration, folders and kind of study, in one process
               none     the plugin with ``isolation=none``
               process  the plugin with ``isolation=process``, one child for all trials
    growth   a study's 100 trials from the 10th, the 100th and the 1,000th on, with
             ``isolation=none``: does a trial cost more, the more there are?

A machine's speed drifts, and other programs run on it. So the sides of cost and growth take
turns: all are started, then one runs ten trials while the others are suspended. Counted: from
the start of a turn's first task to the start of its last one, which is each trial's whole cycle;
a ratio is a median over the turns. Processor time, a child's and its parent's together, stands
beside the clock, which is what the targets are about.

    python benchmarks/sweeper.py [--only batches|cost|growth] [--unit 1.0] [--trials 500] [--quick]
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import optuna
import psutil
import sweeper_app

APP = Path(sweeper_app.__file__)
JOBS, TURN, ENDLESS = 4, 10, 100_000
SWEEPER = ("hydra/sweeper=optuna_workers", "hydra.sweeper.study_name=benchmark")
RANDOM = (*SWEEPER, "hydra/sweeper/sampler=random", "hydra.sweeper.seed=0")
EMPTY = ("-m", *RANDOM, "x=interval(0,1)", "hydra.sweeper.max_trials_per_worker=null")
SIDES = {
    "loop": RANDOM,
    "none": (*EMPTY, "hydra.sweeper.isolation=none"),
    "process": (*EMPTY, "hydra.sweeper.isolation=process"),
}


class Span(NamedTuple):
    """When a task ran, and the processor time that its side had used before."""

    start: float
    end: float
    processor: float = 0.0


class Seconds(NamedTuple):
    """A time by the clock and of processor time, or a ratio of two."""

    clock: float
    processor: float = 0.0

    def __truediv__(self, other: Seconds) -> Seconds:
        return Seconds(self.clock / other.clock, self.processor / other.processor)


class Command:
    """A command of the app, suspended until it is told to run.

    Args:
        folder: Where it keeps everything.
        trials: After how many it ends.
        words: Its arguments.
    """

    def __init__(self, folder: Path, trials: int, *words: str) -> None:
        folder.mkdir()
        self._log, self._output = folder / "log.txt", folder / "output.txt"
        self._log.touch()
        places = (f"log={self._log}", f"hydra.sweep.dir={folder}")
        command = [sys.executable, str(APP), *words, *places, f"hydra.sweeper.n_trials={trials}"]
        known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        paths = [str(APP.parents[1]), *filter(None, known)]  # this checkout's plugin
        with self._output.open("wb") as file:
            self._process = psutil.Popen(
                command, cwd=folder, stdout=file, stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            )  # fmt: skip
        self._tell("suspend")

    def spans(self) -> list[Span]:
        """Return when each task ran, by start."""
        lines = self._log.read_text().splitlines()
        return sorted(Span(*map(float, line.split())) for line in lines)

    def advance(self, tasks: int) -> list[Span]:
        """Let so many more tasks run, then wait; return when they ran."""
        before = len(self.spans())
        self._tell("resume")
        while self._log.read_bytes().count(b"\n") < before + tasks:
            if self._process.poll() is not None:
                raise self._ended()
            time.sleep(0.01)
        self._tell("suspend")
        return self.spans()[before:]

    def finish(self) -> list[Span]:
        """Let it run to its end; return when each task ran."""
        self._tell("resume")
        if self._process.wait():
            raise self._ended()
        return self.spans()

    def kill(self) -> None:
        """End it at once."""
        self._tell("kill")
        self._process.wait()

    def _ended(self) -> SystemExit:
        output = self._output.read_text()[-3000:]
        return SystemExit(f"{output}\n{self._output}: status {self._process.returncode}")

    def _tell(self, what: str) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in (self._process, *self._process.children(recursive=True)):
                getattr(process, what)()


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=MEASUREMENTS, help="one measurement instead of all")
    parser.add_argument("--unit", type=float, default=1.0, help="seconds that short tasks sleep")
    parser.add_argument("--trials", type=int, default=500, help="of each side of cost")
    parser.add_argument("--quick", action="store_true", help="a tenth: does it run at all?")
    return parser.parse_args()


def batches(folder: Path, options: argparse.Namespace) -> None:
    """Compare with batches, and with the best that any order could hope for."""
    lengths = sweeper_app.LENGTHS[: 8 if options.quick else None]
    seconds = [length * options.unit for length in lengths]
    words = (f"slot=range({len(seconds)})", f"unit={options.unit}", f"hydra.sweeper.n_jobs={JOBS}")
    spans = Command(folder / "workers", len(seconds), "-m", *SWEEPER, *words).finish()
    assert len(spans) == len(seconds)
    workers, theirs = makespan(spans), makespan(list(batched(folder, seconds)))
    ideal = sum(seconds) / JOBS + max(seconds)
    print(f"batches: {len(seconds)} tasks, {sum(seconds):g} s in all, {JOBS} at a time")
    print(f"  workers {workers:.1f} s, batches {theirs:.1f} s, sum/{JOBS} + longest {ideal:.1f} s")
    row("batches / workers", Seconds(theirs / workers), at_least=1.5)
    row(f"workers / (sum/{JOBS} + longest)", Seconds(workers / ideal), at_most=1.1)


def batched(folder: Path, seconds: list[float]) -> Iterator[Span]:
    """Sleep in batches, as hydra-optuna-sweeper would; yield when each task ran."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(storage=f"sqlite:///{folder}/batches.db")
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for first in range(0, len(seconds), JOBS):
            batch = seconds[first : first + JOBS]
            trials = [study.ask() for _ in batch]
            yield from pool.map(nap, batch)
            for trial in trials:
                study.tell(trial, 0)


def nap(seconds: float) -> Span:
    """Sleep."""
    start = time.monotonic()
    time.sleep(seconds)
    return Span(start, time.monotonic())


def makespan(spans: list[Span]) -> float:
    """Return the seconds from the first start to the last end."""
    return max(span.end for span in spans) - min(span.start for span in spans)


def cost(folder: Path, options: argparse.Namespace) -> None:
    """Compare a trial's cost with that of a plain loop."""
    trials = 50 if options.quick else options.trials
    sides = {name: Command(folder / name, ENDLESS, *words) for name, words in SIDES.items()}
    found = take_turns("cost", sides, dict.fromkeys(sides, TURN), trials)
    for name, target in (("none", 1.5), ("process", 2.0)):
        compare(found, name, "loop", at_most=target)


def growth(folder: Path, options: argparse.Namespace) -> None:
    """Compare late trials with early ones."""
    before = (10, 100) if options.quick else (10, 100, 1000)
    first = {f"from {count}": count for count in before}
    trials = 10 if options.quick else 100
    sides = {name: Command(folder / name, ENDLESS, *SIDES["none"]) for name in first}
    found = take_turns("growth", sides, first, trials)
    earliest, *_, latest = first
    compare(found, latest, earliest, at_most=1.5)


def take_turns(
    title: str, sides: dict[str, Command], first: dict[str, int], trials: int
) -> dict[str, list[Seconds]]:
    """Let the sides run some trials in turns, and end them; print and return what a trial took.

    Args:
        title: What is measured.
        sides: Commands that have not run yet.
        first: How many trials of each are run before, which also is its start-up.
        trials: How many of each are measured.
    """
    found: dict[str, list[Seconds]] = {name: [] for name in sides}
    try:
        for name, side in sides.items():
            side.advance(first[name])
        for turn in range(max(1, trials // TURN)):
            for name in sorted(sides, reverse=bool(turn % 2)):
                found[name].append(cycle(sides[name].advance(TURN)))
    finally:
        for side in sides.values():
            side.kill()
    report(title, found)
    return found


def cycle(spans: list[Span]) -> Seconds:
    """Return the mean time from one task's start to the next one's."""
    first, last, count = spans[0], spans[-1], len(spans) - 1
    return Seconds((last.start - first.start) / count, (last.processor - first.processor) / count)


def medians(found: list[Seconds]) -> Seconds:
    """Return the median by the clock and that of processor time."""
    return Seconds(*map(statistics.median, zip(*found, strict=True)))


def report(title: str, found: dict[str, list[Seconds]]) -> None:
    """Print the time per trial of each side."""
    turns = len(next(iter(found.values())))
    print(f"{title}: ms per trial, medians of {turns} turns of {TURN} trials")
    print(f"{'':34s}{'clock':>10s}{'processor':>11s}")
    for name, times in found.items():
        clock, processor = medians(times)
        print(f"  {name:32s}{clock * 1000:10.1f}{processor * 1000:11.1f}")


def compare(found: dict[str, list[Seconds]], one: str, other: str, at_most: float) -> None:
    """Print the ratio of two sides."""
    ratios = [a / b for a, b in zip(found[one], found[other], strict=True)]
    row(f"{one} / {other}", medians(ratios), at_most=at_most)


def row(title: str, found: Seconds, *, at_least: float = 0, at_most: float = math.inf) -> None:
    """Print a ratio, and beside it the target, which the clock must meet."""
    target = f">= {at_least}" if at_least else f"<= {at_most}"
    met = "met" if at_least <= found.clock <= at_most else "MISSED"
    processor = f"{found.processor:.2f}" if found.processor else ""
    print(f"  {title:32s}{found.clock:10.2f}{processor:>11s}   target {target}: {met}", flush=True)


MEASUREMENTS = {"batches": batches, "cost": cost, "growth": growth}


def main() -> None:
    """Measure and print the tables."""
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="catdog-benchmark-") as folder:
        for name, measure in MEASUREMENTS.items():
            if options.only in (None, name):
                measure(Path(folder), options)


if __name__ == "__main__":
    main()
