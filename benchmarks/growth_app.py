"""Take a data set of invented photos through what a run does with it; print the seconds as JSON.

python benchmarks/growth_app.py COUNT RAM_MB
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from catdog.core import runtime

runtime.configure(None)
runtime.load_tensorflow()

import keras
import numpy as np

from catdog.data import split
from catdog.data.folders import Found
from catdog.data.manifest import Manifest, Photo
from catdog.data.scan import Verdict
from catdog.features.extraction import FeatureSet
from catdog.features.feeds import Resident, Streamed
from catdog.features.store import Store
from catdog.models import head
from catdog.training.fit import fit
from catdog.training.steps import Steps

WIDTH, EPOCHS, PUT_ROWS = 1280, 5, 4096
Feed = Resident | Streamed
T = TypeVar("T")


def invent(count: int) -> Manifest:
    """Return what ``manifest.build`` makes of as many photos, with its digest computed."""
    root = Path("/photos")
    found = [Found(f"{root}/{i}.jpg", "cat" if i % 2 else "dog", None) for i in range(count)]
    verdicts = [Verdict(hashlib.sha256(str(i).encode()).hexdigest(), 1000) for i in range(count)]
    made = split.build(
        root, found, verdicts, [item.path for item in found],
        val_fraction=0.1, test_fraction=0.1, split_seed=0,
    )  # fmt: skip
    assert made.digest
    return made


def put(store: Store, photos: list[Photo]) -> None:
    """Store a drawn row for each photo."""
    drawn = np.random.default_rng(0).random((PUT_ROWS, WIDTH), np.float32)
    with store.lock():
        for start in range(0, len(photos), PUT_ROWS):
            hashes = [photo.sha256 for photo in photos[start : start + PUT_ROWS]]
            store.put(hashes, drawn[: len(hashes)])


def load(store: Store, photos: list[Photo], ram_mb: int) -> Feed:
    """Find the rows and load them, or leave them on the disk, as a run would."""
    labels = np.array([photo.label for photo in photos], np.int32)
    held = FeatureSet(((store, store.find([photo.sha256 for photo in photos])),), labels)
    ram = ram_mb * 2**20
    return Resident(held) if held.nbytes <= ram else Streamed(held, ram)


def epoch_seconds(train: Feed, val: Feed) -> float:
    """Return the seconds of an epoch with its validation, once it is compiled."""
    steps = Steps(head.build((WIDTH,), 2), keras.optimizers.Adam(1e-3), batch_size=64)
    ends: list[float] = []

    def on_epoch(epoch: int, metrics: dict[str, float]) -> bool:
        ends.append(time.perf_counter())
        return False

    rng = np.random.default_rng(0)
    fit(steps, train, val, epochs=EPOCHS, rng=rng, patience=EPOCHS, on_epoch=on_epoch)
    return (ends[-1] - ends[0]) / (EPOCHS - 1)


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Return seconds and result."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def main(count: int, ram_mb: int) -> None:
    """Measure and print."""
    seconds = {}
    seconds["manifest"], made = timed(lambda: invent(count))
    parts = [made.of("train"), made.of("val")]
    with tempfile.TemporaryDirectory(prefix="catdog-benchmark-") as name:
        store = Store(Path(name), (WIDTH,), "float16")
        seconds["store"], _ = timed(lambda: put(store, [*parts[0], *parts[1]]))
        seconds["load"], feeds = timed(lambda: [load(store, some, ram_mb) for some in parts])
        seconds["epoch"] = epoch_seconds(*feeds)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
