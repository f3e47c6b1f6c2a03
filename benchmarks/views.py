"""What do stored views buy? Augmentation and test-time flip against none, on the same photos.

Runs ``python -m catdog.train`` for each policy, with and without ``evaluation.tta=flip``, on
several splits of the photos (``data.split_seed``): a row's figures are means over the splits, of
photos that no choice was made on, with the standard deviation of the accuracy. Every policy has a
feature store of its own; ``features`` are the seconds that its first run computed for, ``store``
what then lies on the disk. A row is kept per view: the second split of a policy finds most rows.

    python benchmarks/views.py [--policies none flip light] [--splits 5] [key=value ...]
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from catdog.cli import typed
from catdog.models import pretrained

METRICS = ("test/accuracy", "test/loss", "time/features_seconds", "time/fit_seconds")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policies", nargs="+", default=["none", "flip", "light"])
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    return parser.parse_intermixed_args()


def run(folder: Path, name: str, words: Sequence[str]) -> dict[str, float]:
    """Train once; return its metrics."""
    store = folder / f"{name}.db"
    done = subprocess.run(
        [sys.executable, "-m", "catdog.train", f"tracking.uri=sqlite:///{store}", *words],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{name} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    with sqlite3.connect(store) as connection:
        found = dict(connection.execute("SELECT key, value FROM latest_metrics"))
    return {metric: found[metric] for metric in METRICS}


def size(folder: Path) -> float:
    """Return the MB of all files of a store."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def measure(folder: Path, asked: argparse.Namespace, policy: str) -> None:
    """Print a policy's rows."""
    for tta in ("none", "flip"):
        found = [
            run(folder, f"{policy}-{tta}-{split}",
                [f"augment={policy}", f"evaluation.tta={tta}", f"data.split_seed={split}",
                 f"features.dir={folder}/{policy}", *asked.overrides])
            for split in range(asked.splits)
        ]  # fmt: skip
        accuracy, loss, _, fit = (
            statistics.mean(one[metric] for one in found) for metric in METRICS
        )
        accuracies = [one["test/accuracy"] for one in found]
        spread = statistics.stdev(accuracies) if len(found) > 1 else float("nan")
        features, stored = found[0]["time/features_seconds"], size(folder / policy / "features")
        print(f"{policy:10s}{tta:6s}{accuracy:10.4f}{spread:9.4f}{loss:9.4f}{features:10.1f} s"
              f"{stored:8.0f} MB{fit:8.2f} s", flush=True)  # fmt: skip


def main() -> None:
    """Measure and print the table."""
    asked = arguments()
    # the file itself: from an empty store each run would fetch it
    found = pretrained.resolve("mobilenet_v2", cache_dir=Path("~/.cache/catdog").expanduser())
    words = map(typed.absolute, asked.overrides)
    asked.overrides = [f"backbone.weights={found.path}", *words]
    print(f"means over {asked.splits} splits; {' '.join(asked.overrides[1:])}")
    print(f"{'augment':10s}{'tta':6s}{'accuracy':>10s}{'sd':>9s}{'loss':>9s}{'features':>12s}"
          f"{'store':>11s}{'fit':>10s}")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="catdog-benchmark-") as name:
        for policy in asked.policies:
            measure(Path(name), asked, policy)


if __name__ == "__main__":
    main()
