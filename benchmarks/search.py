"""How long do 20 trials over learning rate and dropout take, here and as people write it?

Measured in one run, on the same photos and splits, with a frozen MobileNetV2 at 224 px and a
linear head; every command's time is its whole time, imports included:

    catdog       ``python -m catdog.train -m``: cold (nothing but the weights is there), then warm
                 with 1, 2 and 4 workers; each trial also makes the LR range test, pictures and
                 everything else that a run logs; no early stopping
    peers        the searches in ``peers/``, which share one Keras script (``fit`` over
                 ``image_dataset_from_directory``): Optuna 5, KerasTuner, hydra-optuna-sweeper;
                 they log nothing; and Optuna's script once more with
                 ``mlflow.tensorflow.autolog(checkpoint=True)``. All but the first run in an
                 environment of their own (--peers).

The peers run few trials of few epochs and are scaled: start + trials x (fixed + epochs x the
shortest epoch seen), where fixed is what a trial takes beside its epochs. All that flatters them.

Accuracy: both sides train lr 0.001 and dropout 0.2 for as many epochs as Optuna's script was run;
catdog with five seeds, since a training of few epochs ends here or there.
Targets against that script: 100 x cold, 400 x warm, within 0.3 points of validation accuracy.

Then: the seconds of a warm trial by stage, and what 1, 2 and 4 workers gain. Target of a trial: at
most 2 x the bare loop of fit.py, compiled before, plus 1.5 s.

    python benchmarks/search.py [--trials 20] [--epochs 10] [--jobs 1 2 4] [key=value ...]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sides import DROPOUT, LR, Bench, Peer, rows, set_up

from catdog.cli import typed
from catdog.core import paths

PEERS = paths.root() / ".venv-peers"
STAGES = ("startup", "build", "features", "lr_range", "fit", "evaluate", "logging", "model")
SCRIPT, LOGGED = "Optuna + Keras", "Optuna + Keras + autolog"
COLD, WARM, POINTS = 100, 400, 0.3


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3, help="of the warm searches")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2, 4], help="workers")
    parser.add_argument("--seeds", type=int, default=5, help="trained for the accuracy")
    parser.add_argument("--peer-epochs", type=int, default=2, help="of Optuna's script; others 1")
    parser.add_argument("--peers", type=Path, default=PEERS, help="their environment, or none")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    return parser.parse_intermixed_args()


def peers(bench: Bench) -> dict[str, Peer]:
    """Run the peers' searches."""
    asked = bench.asked
    found = {SCRIPT: bench.peer(sys.executable, "plain.py", "1", str(asked.peer_epochs))}
    python = asked.peers / "bin" / "python"
    if not python.exists():
        print(f"no {python}: the other peers are left out\n")
        return found
    found["KerasTuner"] = bench.peer(python, "tuner.py", "1", "1")
    found["hydra-optuna-sweeper"] = bench.peer(
        python, "hydra_app.py", "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=1",
        "hydra.sweeper.n_jobs=1", f"+lr={LR}", f"+dropout={DROPOUT}", "+epochs=1",
    )  # fmt: skip
    found[LOGGED] = bench.peer(python, "plain.py", "1", "1", "autolog")
    return found


def stages(bench: Bench, study: str) -> dict[str, list[float]]:
    """Return the seconds of the study's trials by stage, in the order of the trials."""
    query = f"""SELECT m.key, m.value FROM latest_metrics m
        JOIN tags s ON s.run_uuid = m.run_uuid AND s.key = 'optuna.study' AND s.value = '{study}'
        JOIN tags t ON t.run_uuid = m.run_uuid AND t.key = 'optuna.trial'
        WHERE m.key LIKE 'time/%' ORDER BY CAST(t.value AS INTEGER)"""
    found: dict[str, list[float]] = {}
    for key, value in rows(bench.folder / "mlflow.db", query):
        found.setdefault(key.removeprefix("time/").removesuffix("_seconds"), []).append(value)
    return found


def accuracy(bench: Bench, epochs: int) -> list[float]:
    """Train what Optuna's script has trained with some seeds; return the validation accuracies."""
    for seed in range(bench.asked.seeds):
        bench.catdog(
            "optimizer.lr=1e-3", "head.dropout=0.2", f"trainer.epochs={epochs}", f"seed={seed}",
            "tracking.run_name=alike",
        )  # fmt: skip
    query = """SELECT m.value FROM latest_metrics m JOIN runs r ON r.run_uuid = m.run_uuid
        WHERE r.name = 'alike' AND m.key = 'val/accuracy'"""
    return [value for (value,) in rows(bench.folder / "mlflow.db", query)]


def report_search(bench: Bench, mine: dict[str, list[float]], theirs: dict[str, Peer]) -> None:
    """Print what the search takes, and how often catdog fits into it."""
    asked = bench.asked
    cold, warm = statistics.median(mine["cold"]), statistics.median(mine[workers(1)])
    title = f"{asked.trials} trials x {asked.epochs} epochs"
    print(f"{title:28s}{'measured':>10s}{'takes':>12s}{'/ cold':>8s}{'/ warm':>8s}")
    for name, seconds in mine.items():
        takes, measured = statistics.median(seconds), f"{len(seconds)} runs"
        print(f"catdog {name:21s}{measured:>10s}{takes:10.0f} s{takes / cold:8.2f}"
              f"{takes / warm:8.2f}")  # fmt: skip
    for name, peer in theirs.items():
        takes = peer.scaled(asked.trials, asked.epochs)
        print(f"{name:28s}{peer.shape:>10s}{takes:10.0f} s{takes / cold:8.0f}{takes / warm:8.0f}")
    first = theirs[SCRIPT].scaled(asked.trials, asked.epochs)
    verdict("Optuna + Keras / cold", first / cold, COLD)
    verdict("Optuna + Keras / warm", first / warm, WARM)


def workers(jobs: int) -> str:
    """Name a warm search."""
    return f"warm, {jobs} worker{'s' * (jobs > 1)}"


def verdict(title: str, ratio: float, target: float) -> None:
    """Print a ratio beside its target."""
    print(f"target: {title} >= {target}: {ratio:.0f}, {'met' if ratio >= target else 'MISSED'}")


def report_accuracy(epochs: int, mine: list[float], theirs: float) -> None:
    """Print both sides' validation accuracy after the same training."""
    mean = statistics.mean(mine)
    seeds = f" (mean of {len(mine)} seeds, sd {statistics.stdev(mine):.4f})" if mine[1:] else ""
    apart = abs(mean - theirs) * 100
    print(f"\nvalidation accuracy after {epochs} epochs at lr 0.001, dropout 0.2:")
    print(f"  catdog {mean:.4f}{seeds}, Keras {theirs:.4f}")
    print(f"target: within {POINTS} points: {apart:.2f}, {'met' if apart <= POINTS else 'MISSED'}")


def report_trial(bench: Bench, study: str, logged: Peer | None) -> None:
    """Print the seconds of a warm trial by stage, and those of Keras' script that logs too."""
    found, epochs = stages(bench, study), bench.asked.epochs
    between = slots_beside(bench.folder / study / "study.db", found["total"])
    print(
        f"\na trial of {epochs} epochs in a warm worker, medians of {len(found['total']) - 1}, s"
    )
    for stage in STAGES:
        print(f"  {stage:24s}{statistics.median(found.get(stage, [0.0, 0.0])[1:]):9.3f}")
    print(f"  {'compose, study, pipe':24s}{between:9.3f}")
    print(f"  {'all':24s}{statistics.median(found['total'][1:]) + between:9.3f}")
    bare = bare_loop(bench.manifest.counts["train"], epochs)
    takes, bound = statistics.median(found["total"][1:]) + between, 2 * bare + 1.5
    print(f"target: at most 2 x the bare compiled loop ({bare:.3f} s) + 1.5 s: {takes:.2f} of "
          f"{bound:.2f} s, {'met' if takes <= bound else 'MISSED'}")  # fmt: skip
    if logged is not None:
        fit = epochs * min(logged.trials[0]["epochs"])
        rest = logged.scaled(1, epochs) - logged.start - fit
        print(f"the same with {LOGGED}, {logged.shape}, scaled, s")
        print(f"  {'fit':24s}{fit:9.3f}")
        print(f"  {'build, read, log, model':24s}{rest:9.3f}")


def bare_loop(photos: int, epochs: int) -> float:
    """Return the median seconds of the bare loop on as many drawn features."""
    from fit import Bare, store_features, tf, warm

    with tempfile.TemporaryDirectory(prefix="catdog-benchmark-") as name:
        held = store_features(Path(name), photos, seed=1)
        features = tf.constant(held.views[0][0].read(held.views[0][1]))
    seconds = warm(lambda: Bare(features, tf.constant(held.labels)))
    return statistics.median(seconds(epochs)[0] for _ in range(3))


def slots_beside(database: Path, totals: Sequence[float]) -> float:
    """Return the median of what a trial's slot takes beside its run."""
    query = "SELECT started, ended FROM hydra_slots ORDER BY started"
    spans = [end - start for start, end in rows(database, query)]
    return statistics.median(a - b for a, b in list(zip(spans, totals, strict=True))[1:])


def report_workers(mine: dict[str, list[float]], jobs: Sequence[int]) -> None:
    """Print what more workers gain; start-up and the cores that there are bound it."""
    cores = len(os.sched_getaffinity(0))
    one = statistics.median(mine[workers(1)])
    print(f"\nworkers, {cores} cores{'':11s}takes   ideal   gain")
    for count in jobs:
        takes = statistics.median(mine[workers(count)])
        ideal = one / min(count, cores)
        print(f"  {count:<24d}{takes:7.0f} s{ideal:6.0f} s{one / takes:6.2f}x")


def main() -> None:
    """Measure and print the tables."""
    asked = arguments()
    asked.overrides = [typed.absolute(word) for word in asked.overrides]
    with tempfile.TemporaryDirectory(prefix="catdog-benchmark-") as name:
        bench = set_up(Path(name), asked)
        counts = ", ".join(f"{count:,} {split}" for split, count in bench.manifest.counts.items())
        print(f"{asked.trials} trials of {asked.epochs} epochs; {counts} photos\n", flush=True)
        mine = {"cold": [bench.search("cold", 1)]}
        cores = len(os.sched_getaffinity(0))
        for jobs in asked.jobs:
            times = range(asked.repeats if jobs <= cores else 1)
            mine[workers(jobs)] = [bench.search(f"warm-{jobs}-{i}", jobs) for i in times]
        theirs = peers(bench)
        report_search(bench, mine, theirs)
        alike = theirs[SCRIPT].trials[0]["val_accuracy"]
        report_accuracy(asked.peer_epochs, accuracy(bench, asked.peer_epochs), alike)
        report_trial(bench, "warm-1-0", theirs.get(LOGGED))
        report_workers(mine, asked.jobs)


if __name__ == "__main__":
    main()
