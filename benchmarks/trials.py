"""What do the trials of a real search cost, and does anything grow with their number?

Runs ``python -m catdog.train -m`` over learning rate and dropout from an empty folder with an
empty feature store, and reads the study's and MLflow's databases afterwards:

    trials     ended, and child runs in MLflow under how many parents
    features   how many trials computed any (the others found them in the store)
    idle       longest time between two trials of one worker while slots were left, after the
               features were there                                     target: at most 2 s
    overhead   seconds of a trial in a warm worker beside features, LR test and fit: the median
               and the largest                                         target: at most 2 s
    memory     of the command and all its processes, when the fifth and when the last trial has
               ended                                                   target: at most 1.3 x

    python benchmarks/trials.py [--trials 20] [--jobs 2] [--epochs 10] [key=value ...]
"""

from __future__ import annotations

import argparse
import itertools
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

SPACE = ("optimizer.lr=tag(log,interval(1e-5,1e-1))", "head.dropout=interval(0,0.7)")
EARLY = 5
"""Trials after which memory is compared with that at the end."""


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    return parser.parse_args()


@dataclass
class Memory:
    """Resident memory of a process and all below it, in MiB, by number of trials ended."""

    by_trials: dict[int, float] = field(default_factory=dict)

    def look(self, process: psutil.Process, ended: int) -> None:
        """Take a sample; the last one of a count stands."""
        try:
            tree = [process, *process.children(recursive=True)]
            self.by_trials[ended] = sum(one.memory_info().rss for one in tree) / 2**20
        except psutil.NoSuchProcess:
            pass


def run(folder: Path, asked: argparse.Namespace) -> Memory:
    """Run the search and watch its memory."""
    words = [
        *SPACE, f"hydra.sweeper.n_trials={asked.trials}", f"hydra.sweeper.n_jobs={asked.jobs}",
        f"trainer.epochs={asked.epochs}", "hydra.sweeper.study_name=s",
        f"hydra.sweep.dir={folder}/s", f"features.dir={folder}/cache",
        f"tracking.uri=sqlite:///{folder}/mlflow.db", *asked.overrides,
    ]  # fmt: skip
    command = [sys.executable, "-m", "catdog.train", "-m", *words]
    memory = Memory()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            memory.look(watched, len(ended_slots(folder)))
            time.sleep(0.5)
    if process.returncode:
        sys.exit(f"the search ended with status {process.returncode}")
    return memory


def ended_slots(folder: Path) -> list[tuple[str, float, float]]:
    """Return (worker, start, end) of every slot that has ended, by start."""
    query = "SELECT owner, started, ended FROM hydra_slots WHERE ended IS NOT NULL"
    return rows(folder / "s" / "study.db", f"{query} ORDER BY started")


def rows(database: Path, query: str) -> list[tuple]:
    """Return the rows of a query; none before the tables are made."""
    if not database.exists():
        return []
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30) as connection:
            return list(connection.execute(query))
    except sqlite3.OperationalError:
        return []


def idle(slots: list[tuple[str, float, float]], since: float) -> float:
    """Return the longest pause of a worker between two of its trials, in seconds."""
    longest = 0.0
    for worker in {owner for owner, _, _ in slots}:
        own = [(start, end) for owner, start, end in slots if owner == worker]
        for (_, end), (start, _) in itertools.pairwise(own):
            longest = max(longest, start - end if end >= since else 0.0)
    return longest


def metric(folder: Path, name: str) -> list[float]:
    """Return a metric of every trial, in the order of the trials' numbers."""
    query = f"""SELECT m.value FROM latest_metrics m JOIN tags t ON t.run_uuid = m.run_uuid
        WHERE m.key = '{name}' AND t.key = 'optuna.trial' ORDER BY CAST(t.value AS INTEGER)"""
    return [value for (value,) in rows(folder / "mlflow.db", query)]


def report(folder: Path, asked: argparse.Namespace, memory: Memory) -> None:
    """Print the figures beside their targets."""
    slots, parents = ended_slots(folder), "SELECT DISTINCT value FROM tags WHERE key = '{}'"
    features, overhead = metric(folder, "time/features_seconds"), metric(folder, OVERHEAD)
    computed = [seconds for seconds in features if seconds > 1]
    children = rows(folder / "mlflow.db", "SELECT run_uuid FROM tags WHERE key = 'optuna.trial'")
    above = rows(folder / "mlflow.db", parents.format("mlflow.parentRunId"))
    # the first trial of each worker loads TensorFlow, and may wait for the features
    warm = overhead[asked.jobs :]
    since = sorted(end for _, _, end in slots)[min(asked.jobs, len(slots)) - 1]
    early = memory.by_trials[min(n for n in memory.by_trials if n >= min(EARLY, len(slots)))]
    late = memory.by_trials[max(n for n in memory.by_trials if n <= len(slots) - asked.jobs)]
    print(f"trials    {len(slots)} ended; {len(children)} child runs, {len(above)} parent run(s)")
    print(f"features  computed or waited for by {len(computed)}: {max(features):.1f} s")
    print(f"idle      {idle(slots, since):.2f} s at most (target 2)")
    print(f"overhead  {statistics.median(warm):.2f} s, at most {max(warm):.2f} (target 2)")
    print(f"memory    {early:.0f} MiB after {EARLY} trials, {late:.0f} at the end: "
          f"{late / early:.2f} x (target 1.3)")  # fmt: skip


OVERHEAD = "time/overhead_seconds"


def main() -> None:
    """Run and report."""
    asked = arguments()
    print(f"{asked.trials} trials of {asked.epochs} epochs, {asked.jobs} workers, "
          f"{len(os.sched_getaffinity(0))} cores {' '.join(asked.overrides)}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        memory = run(Path(folder), asked)
        report(Path(folder), asked, memory)


if __name__ == "__main__":
    main()
