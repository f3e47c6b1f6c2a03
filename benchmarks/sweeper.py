"""What do workers gain over batches, and what does a trial cost in the sweeper?

Three measurements. All times come from a log that the task itself writes, so no side's start-up
counts: not the imports, not the first composition, not the first child's start.

    batches  80 tasks sleep 1 s, one in five 5 s, in the same random order for both, 4 at a time.
             Ours is a command of the plugin with 4 child processes. The other side does what
             hydra-optuna-sweeper does: ask for 4 trials, run them side by side, wait for all,
             tell, ask for the next 4; its tasks are threads without Hydra, which flatters it.
             Counted: from the first task's start to the last one's end.
    cost     500 trials of an empty task, one after another, random sampler, SQLite:
               loop     ``load_sweep_config``, ``run_job`` and ``study.ask`` / ``study.tell``, the
                        same configuration, folders and kind of study, in one process
               none     the plugin with ``isolation=none``
               process  the plugin with ``isolation=process``, one child for all of a block
             Each side's study grows by 100 trials at a time, in a new process that resumes it;
             the sides take turns, and who is first changes, because a machine's speed drifts.
             Counted: from the start of a block's first task to the start of its last one, which
             is every trial's whole cycle; a ratio is a median over the blocks. Processor time,
             a child's and its parent's together, stands beside the clock: other programs on the
             machine move it less.
    growth   one study of 1,050 trials with ``isolation=none``: the median cycle of trials 950 to
             1,050 against that of trials 50 to 150; the loop's for information.

    python benchmarks/sweeper.py [--only batches|cost|growth] [--unit 1.0] [--trials 500] [--quick]
"""

from __future__ import annotations

import argparse
import concurrent.futures
import functools
import itertools
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import optuna
import sweeper_app
from hydra import initialize
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, open_dict

APP = Path(sweeper_app.__file__)
JOBS, BLOCK = 4, 100
SWEEPER = ("hydra/sweeper=optuna_workers", "hydra.sweeper.study_name=benchmark")
EMPTY = (*SWEEPER, "hydra/sweeper/sampler=random", "hydra.sweeper.seed=0")


class Span(NamedTuple):
    """When a task ran, and the processor time that its side had used before."""

    start: float
    end: float
    processor: float = 0.0


Seconds = tuple[float, float]
"""By the clock, and of processor time."""

Side = Callable[[Path, int], None]
"""Brings the study in a folder to a number of trials."""


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=MEASUREMENTS, help="one measurement instead of all")
    parser.add_argument("--unit", type=float, default=1.0, help="seconds that short tasks sleep")
    parser.add_argument("--trials", type=int, default=500, help="of each side of cost")
    parser.add_argument("--quick", action="store_true", help="few and short: does it run at all?")
    return parser.parse_args()


# the sides


def plugin(folder: Path, total: int, words: Sequence[str]) -> None:
    """Run a command of the plugin until its study has so many trials."""
    command = [
        sys.executable, str(APP), "-m", *words, f"log={folder / 'log.txt'}",
        f"hydra.sweep.dir={folder}", f"hydra.sweeper.n_trials={total}",
    ]  # fmt: skip
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = os.pathsep.join([str(APP.parents[1]), *filter(None, known)])  # this checkout's plugin
    output = folder / "output.txt"
    with output.open("a") as file:
        ended = subprocess.run(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": paths}, stdout=file, stderr=file
        )
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)}\n{output.read_text()[-3000:]}")


def loop(folder: Path, total: int) -> None:
    """Do the same without the plugin, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        pool.submit(_loop, folder, total).result()


def _loop(folder: Path, total: int) -> None:
    fixed = [f"log={folder / 'log.txt'}", f"hydra.sweep.dir={folder}"]
    study = _study(folder)
    with initialize(version_base=None, config_path=None, job_name="sweeper_app"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        words = [*EMPTY, *fixed, "hydra.mode=MULTIRUN", f"hydra.sweeper.n_trials={total}"]
        master = hydra.compose_config("sweeper_app", words, RunMode.MULTIRUN)
        context = HydraContext(hydra.config_loader, Callbacks())
        for _ in range(total - len(study.trials)):
            _trial(study, context, master, fixed[0])


def _trial(study: optuna.Study, context: HydraContext, master: DictConfig, log: str) -> None:
    trial = study.ask()
    overrides = [log, f"x={trial.suggest_float('x', 0, 1)}"]
    config = context.config_loader.load_sweep_config(master, overrides)
    with open_dict(config):
        config.hydra.job.id = config.hydra.job.num = trial.number
    job = run_job(
        sweeper_app.task, config, "hydra.sweep.dir", "hydra.sweep.subdir", hydra_context=context
    )
    study.tell(trial, job.return_value)


def _study(folder: Path) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        storage=f"sqlite:///{folder}/study.db",
        sampler=optuna.samplers.RandomSampler(0),
        study_name="benchmark",
        load_if_exists=True,
    )


def batched(folder: Path, seconds: list[float]) -> list[Span]:
    """Sleep in batches, as hydra-optuna-sweeper would; return when each task ran."""
    study = _study(folder)
    spans: list[Span] = []
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for first in range(0, len(seconds), JOBS):
            batch = seconds[first : first + JOBS]
            trials = [study.ask() for _ in batch]
            spans += pool.map(_nap, batch)
            for trial in trials:
                study.tell(trial, 0)
    return spans


def _nap(seconds: float) -> Span:
    begun = time.monotonic()
    time.sleep(seconds)
    return Span(begun, time.monotonic())


# what the log says


def spans_of(folder: Path) -> list[Span]:
    """Return when each task ran, by start."""
    lines = (folder / "log.txt").read_text().splitlines()
    return sorted(Span(*map(float, line.split())) for line in lines)


def makespan(spans: list[Span]) -> float:
    """Return the seconds from the first start to the last end."""
    return max(span.end for span in spans) - min(span.start for span in spans)


def mean_cycle(spans: list[Span]) -> Seconds:
    """Return the mean time from one task's start to the next one's."""
    first, last, count = spans[0], spans[-1], len(spans) - 1
    return (last.start - first.start) / count, (last.processor - first.processor) / count


def median_cycle(spans: list[Span]) -> Seconds:
    """Return the median time from one task's start to the next one's."""
    cycles = [mean_cycle(list(pair)) for pair in itertools.pairwise(spans)]
    return medians(cycles)


def medians(found: Iterable[Seconds]) -> Seconds:
    """Return the median by the clock and that of processor time."""
    clock, processor = (statistics.median(kind) for kind in zip(*found, strict=True))
    return clock, processor


def over(one: Seconds, other: Seconds) -> Seconds:
    """Return the ratio of two times."""
    return one[0] / other[0], one[1] / other[1]


# the measurements


def measure_batches(folder: Path, options: argparse.Namespace) -> None:
    """Compare with batches, and with the best that any order could hope for."""
    lengths = sweeper_app.LENGTHS[: 16 if options.quick else None]
    seconds = [length * options.unit for length in lengths]
    theirs = makespan(batched(new(folder, "batches"), seconds))
    here = new(folder, "workers")
    words = (f"slot=range({len(seconds)})", f"unit={options.unit}", f"hydra.sweeper.n_jobs={JOBS}")
    plugin(here, len(seconds), (*SWEEPER, *words))
    spans = spans_of(here)
    assert len(spans) == len(seconds)
    ours, ideal = makespan(spans), sum(seconds) / JOBS + max(seconds)
    print(f"batches: {len(seconds)} tasks, {sum(seconds):g} s in all, {JOBS} at a time")
    print(f"  workers {ours:.1f} s, batches {theirs:.1f} s, sum / {JOBS} + longest {ideal:.1f} s")
    row("batches / workers", theirs / ours, at_least=1.5)
    row(f"workers / (sum / {JOBS} + longest)", ours / ideal, at_most=1.1)


def measure_cost(folder: Path, options: argparse.Namespace) -> None:
    """Compare a trial's cost with that of a plain loop."""
    sides = {"loop": loop, "none": empty("none"), "process": empty("process")}
    block = 20 if options.quick else BLOCK
    cycles: dict[str, list[Seconds]] = {name: [] for name in sides}
    for turn in range(2 if options.quick else max(1, options.trials // block)):
        names = list(sides)
        for name in names[turn % 3 :] + names[: turn % 3]:
            here = new(folder, name)
            sides[name](here, (turn + 1) * block)
            cycles[name].append(mean_cycle(spans_of(here)[-block:]))
    print(f"cost: medians of {len(cycles['loop'])} blocks of {block} trials")
    header()
    for name, found in cycles.items():
        row(f"{name}, ms per trial", *in_ms(medians(found)))
    for name, target in (("none", 1.5), ("process", 2.0)):
        ratios = [over(*pair) for pair in zip(cycles[name], cycles["loop"], strict=True)]
        row(f"{name} / loop", *medians(ratios), at_most=target)


def measure_growth(folder: Path, options: argparse.Namespace) -> None:
    """Compare late trials with early ones."""
    scale = 10 if options.quick else 1
    windows = [(first // scale, last // scale) for first, last in ((50, 150), (950, 1050))]
    print("growth: median cycles in one study")
    header()
    for name, side, target in (("none", empty("none"), 1.5), ("loop", loop, None)):
        here = new(folder, f"growth-{name}")
        side(here, windows[-1][1] + 1)
        found = []
        for first, last in windows:
            found.append(median_cycle(spans_of(here)[first : last + 1]))
            row(f"{name}, ms, trials {first}-{last}", *in_ms(found[-1]))
        row(f"{name}, late / early", *over(found[1], found[0]), at_most=target)


def empty(isolation: str) -> Side:
    """Return the plugin's side of an empty task."""
    words = ("x=interval(0,1)", f"hydra.sweeper.isolation={isolation}")
    return functools.partial(
        plugin, words=(*EMPTY, *words, "hydra.sweeper.max_trials_per_worker=null")
    )


def new(folder: Path, name: str) -> Path:
    """Return a folder in another, made where it is missing."""
    made = folder / name
    made.mkdir(exist_ok=True)
    return made


# the tables


def header() -> None:
    """Print what the columns hold."""
    print(f"{'':36s}{'clock':>8s}{'processor':>11s}")


def in_ms(seconds: Seconds) -> Seconds:
    """Return milliseconds."""
    return seconds[0] * 1000, seconds[1] * 1000


def row(
    title: str,
    clock: float,
    processor: float | None = None,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> None:
    """Print a figure, and its target beside it, which the clock must meet."""
    text = f"  {title:34s}{clock:8.2f}" + (f"{processor:11.2f}" if processor else "")
    if at_least is not None:
        text += f"   target >= {at_least}: {'met' if clock >= at_least else 'MISSED'}"
    elif at_most is not None:
        text += f"   target <= {at_most}: {'met' if clock <= at_most else 'MISSED'}"
    print(text, flush=True)


MEASUREMENTS = {"batches": measure_batches, "cost": measure_cost, "growth": measure_growth}


def main() -> None:
    """Measure and print the tables."""
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="catdog-benchmark-") as folder:
        for name, measure in MEASUREMENTS.items():
            if options.only in (None, name):
                measure(Path(folder), options)


if __name__ == "__main__":
    main()
