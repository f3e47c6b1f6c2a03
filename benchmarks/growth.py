"""Do time and memory per photo grow with their number?

    photos     one run of ``python -m catdog.train`` each on part of the photos, from an empty
               feature store: seconds of its stages and the peak memory of the process
    invented   a data set of invented photos, whose features are drawn: seconds to split it and
               to name its content (manifest), to store the features, to find and load them, and
               of an epoch of the linear head, each size in a process of its own; the largest once
               more with ``features.ram_mb=256``, so that an epoch comes from the disk in chunks.
               Target: ten times the photos take at most 12 times as long

(How the time per trial grows with the number of trials is measured by sweeper.py.)

    python benchmarks/growth.py [--per-class N ...] [--invented N ...] [key=value ...]
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from catdog.cli.typed import absolute
from catdog.models import pretrained

APP = Path(__file__).with_name("growth_app.py")
STAGES = ("features", "lr_range", "fit", "overhead", "total")
PARTS = ("manifest", "store", "load", "epoch")
RAM_MB, LITTLE_RAM_MB, TARGET = 4096, 256, 1.2


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--per-class", type=int, nargs="+", default=[500, 2500, 10000])
    parser.add_argument("--invented", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    return parser.parse_intermixed_args()


def peak(folder: Path, *words: str) -> tuple[float, str]:
    """Run a Python program; return its peak memory in MiB and what it printed."""
    out, errors = folder / "out.txt", folder / "errors.txt"
    with out.open("w") as one, errors.open("w") as two:
        process = subprocess.Popen([sys.executable, *words], stdout=one, stderr=two, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = errors.read_text()[-2000:]
        sys.exit(f"{' '.join(words)}\nended with {process.returncode}:\n{said}")
    return usage.ru_maxrss / 1024, out.read_text()


def run(folder: Path, limit: int, overrides: Sequence[str]) -> tuple[dict[str, float], float]:
    """Train on ``limit`` photos per class; return photos and seconds by stage, and peak MiB."""
    store = folder / f"{limit}.db"
    memory, _ = peak(
        folder, "-m", "catdog.train", f"data.limit={limit}", f"features.dir={folder}/{limit}",
        f"tracking.uri=sqlite:///{store}", *overrides,
    )  # fmt: skip
    query = """SELECT key, value FROM latest_metrics WHERE key LIKE 'time/%' UNION ALL
        SELECT 'photos', SUM(CAST(value AS INTEGER)) FROM params WHERE key LIKE 'data.photos.%'"""
    with sqlite3.connect(store) as connection:
        found = dict(connection.execute(query))
    return {k.removeprefix("time/").removesuffix("_seconds"): v for k, v in found.items()}, memory


def photos(folder: Path, limits: Sequence[int], overrides: Sequence[str]) -> None:
    """Measure single runs."""
    print("".join(f"{title:>10s}" for title in ("photos", *STAGES, "MiB")))
    for limit in limits:
        found, memory = run(folder, limit, overrides)
        seconds = "".join(f"{found[stage]:10.2f}" for stage in STAGES)
        print(f"{found['photos']:10,.0f}{seconds}{memory:10.0f}", flush=True)


def invented(folder: Path, counts: Sequence[int]) -> None:
    """Measure each number of invented photos in a process of its own."""
    print("\n" + "".join(f"{title:>10s}" for title in ("invented", "ram_mb", *PARTS, "MiB")))
    found: list[dict[str, float]] = []
    for count, ram in [*((count, RAM_MB) for count in counts), (counts[-1], LITTLE_RAM_MB)]:
        memory, said = peak(folder, str(APP), str(count), str(ram))
        found.append(json.loads(said))
        seconds = "".join(f"{found[-1][part]:10.3f}" for part in PARTS)
        print(f"{count:10,d}{ram:10d}{seconds}{memory:10.0f}", flush=True)
    times = counts[-1] / counts[0]
    part, worst = max(
        ((part, found[len(counts) - 1][part] / found[0][part]) for part in PARTS),
        key=lambda pair: pair[1],
    )
    print(f"target: {times:g} x the photos, at most {times * TARGET:g} x the seconds: "
          f"{part} {worst:.1f}, {'met' if worst <= times * TARGET else 'MISSED'}")  # fmt: skip


def main() -> None:
    """Measure and print the tables."""
    asked = arguments()
    # the file itself: from an empty store each run would fetch it
    found = pretrained.resolve("mobilenet_v2", cache_dir=Path("~/.cache/catdog").expanduser())
    known = [f"backbone.weights={found.path}", *map(absolute, asked.overrides)]
    with tempfile.TemporaryDirectory(prefix="catdog-benchmark-") as name:
        photos(Path(name), asked.per_class, known)
        invented(Path(name), asked.invented)


if __name__ == "__main__":
    main()
