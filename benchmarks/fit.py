"""How near is training on stored features to the bare loop? Ten epochs of the linear head.

Compared, with the same features (16,000 rows of 1280 float16), head, batch size, number of steps
and Keras Adam:

    catdog     ``fit.fit`` with ``feed.Resident`` and ``loop.Steps``: validation on 2,000 rows,
               metrics of every epoch, early stopping (never reached here) and best weights
    bare       one ``tf.function`` per epoch over the features in a tensor: shuffle, gather,
               gradient, apply; no validation, no metrics, no best weights
    Model.fit  Keras' own, on float32 NumPy arrays with validation; for information, once

"warm" starts every repetition from fresh weights but keeps what is compiled; "cold" also builds
and traces, as each run of catdog does. Repetitions are interleaved in this process, the first of
a pair alternating, and a ratio is a median over pairs, by the clock and, less moved by other
programs on the machine, by processor time. Target: warm <= 1.3 x the bare loop by the clock.

    python benchmarks/fit.py [--rows 16000] [--epochs 10] [--pairs 7]
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from catdog.core import runtime

runtime.configure(None)
runtime.load_tensorflow()

import keras
import numpy as np
import tensorflow as tf

from catdog.features.extraction import FeatureSet
from catdog.features.feeds import Resident
from catdog.features.store import Store
from catdog.models import head
from catdog.training.fit import fit
from catdog.training.steps import Steps

WIDTH, BATCH_SIZE, LEARNING_RATE = 1280, 64, 1e-3
TARGET = 1.3


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=16000)
    parser.add_argument("--val-rows", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--cold-pairs", type=int, default=3)
    return parser.parse_args()


def store_features(folder: Path, count: int, seed: int) -> FeatureSet:
    """Store rows like a pooled relu6 network's, with labels that a line can tell apart."""
    rng = np.random.default_rng(seed)
    rows = np.maximum(rng.normal(0, 1, (count, WIDTH)), 0)
    line = np.random.default_rng(0).normal(0, 1, WIDTH)
    scores = rows @ line
    labels = (scores > np.median(scores)).astype(np.int32)
    store = Store(folder, (WIDTH,), "float16")
    hashes = [hashlib.sha256(f"{seed} {row}".encode()).hexdigest() for row in range(count)]
    with store.lock():
        store.put(hashes, rows)
    return FeatureSet(((store, store.find(hashes)),), labels)


def new_head() -> keras.Model:
    """Build the default head."""
    return head.build((WIDTH,), 2)


class Catdog:
    """What a run of catdog does, from the head on."""

    name = "catdog"

    def __init__(self, train: Resident, val: Resident) -> None:
        self._train, self._val = train, val
        self.model = new_head()
        self.optimizer = keras.optimizers.Adam(LEARNING_RATE)
        self._steps = Steps(self.model, self.optimizer, batch_size=BATCH_SIZE)

    def run(self, epochs: int) -> None:
        """Train."""
        rng = np.random.default_rng(0)
        fitted = fit(self._steps, self._train, self._val, epochs=epochs, rng=rng, patience=epochs)
        assert len(fitted.history["val/loss"]) == epochs


class Bare:
    """The least code that trains the same head."""

    name = "bare"

    def __init__(self, features: tf.Tensor, labels: tf.Tensor) -> None:
        self.model = new_head()
        self.optimizer = keras.optimizers.Adam(LEARNING_RATE)
        self.optimizer.build(self.model.trainable_variables)
        self._features, self._labels = features, labels
        self._epoch = tf.function(self._train)

    def run(self, epochs: int) -> None:
        """Train."""
        for _ in range(epochs):
            self._epoch()
        self.model.trainable_variables[0].numpy()

    def _train(self) -> None:
        count, variables = len(self._labels), self.model.trainable_variables
        order = tf.random.shuffle(tf.range(count))
        for start in tf.range(0, count, BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            with tf.GradientTape() as tape:
                logits = self.model(
                    tf.cast(tf.gather(self._features, batch), tf.float32), training=True
                )
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                    tf.gather(self._labels, batch), logits
                )
                loss = tf.reduce_mean(losses)
            self.optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)


Seconds = tuple[float, float]


def warm(make: Callable[[], Catdog | Bare]) -> Callable[[int], Seconds]:
    """Build and trace once; return what times a training from fresh weights."""
    side = make()
    everything = [*side.model.weights, *side.optimizer.variables]
    fresh = [variable.numpy() for variable in everything]
    side.run(1)

    def seconds(epochs: int) -> Seconds:
        for variable, value in zip(everything, fresh, strict=True):
            variable.assign(value)
        return timed(lambda: side.run(epochs))

    return seconds


def timed(work: Callable[[], object]) -> Seconds:
    """Return the seconds that some work takes, by the clock and of processor time."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def keras_fit_seconds(train: FeatureSet, val: FeatureSet, epochs: int) -> float:
    """Time ``Model.fit``, compiled by an untimed epoch."""
    pairs = [(s.views[0][0].read(s.views[0][1]).astype("float32"), s.labels) for s in (train, val)]
    model = new_head()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(LEARNING_RATE), loss, metrics=["accuracy"])
    options = {"batch_size": BATCH_SIZE, "verbose": 0, "validation_data": pairs[1]}
    model.fit(*pairs[0], epochs=1, **options)
    return timed(lambda: model.fit(*pairs[0], epochs=epochs, **options))[0]


def interleave(
    ours: Callable[[], Seconds], theirs: Callable[[], Seconds], pairs: int
) -> list[tuple[Seconds, Seconds]]:
    """Time both sides in turn; which one is first alternates."""
    results = []
    for pair in range(pairs):
        if pair % 2:
            bare_first = theirs()
            results.append((ours(), bare_first))
        else:
            results.append((ours(), theirs()))
    return results


def report(title: str, results: list[tuple[Seconds, Seconds]]) -> float:
    """Print medians over pairs; return the ratio by the clock."""
    ours, bare = (statistics.median(pair[side][0] for pair in results) for side in (0, 1))
    clock, processor = (statistics.median(a[i] / b[i] for a, b in results) for i in (0, 1))
    print(f"{title:10s}{ours:9.2f} s{bare:9.2f} s{clock:10.2f}{processor:18.2f}")
    return clock


def main() -> None:
    """Measure and print the table."""
    options = arguments()
    epochs = options.epochs
    with tempfile.TemporaryDirectory(prefix="catdog-benchmark-") as folder:
        train = store_features(Path(folder, "train"), options.rows, seed=1)
        val = store_features(Path(folder, "val"), options.val_rows, seed=2)
        feeds = Resident(train), Resident(val)
        features = tf.constant(train.views[0][0].read(train.views[0][1]))
        labels = tf.constant(train.labels)

        def catdog() -> Catdog:
            return Catdog(*feeds)

        def bare() -> Bare:
            return Bare(features, labels)

        ours, theirs = warm(catdog), warm(bare)
        hot = interleave(lambda: ours(epochs), lambda: theirs(epochs), options.pairs)
        cold = interleave(
            lambda: timed(lambda: catdog().run(epochs)),
            lambda: timed(lambda: bare().run(epochs)),
            options.cold_pairs,
        )
        plain = keras_fit_seconds(train, val, epochs)
    print(f"{options.rows} rows, {epochs} epochs; medians of {len(hot)} and {len(cold)} pairs")
    print(f"{'':10s}{'catdog':>11s}{'bare':>11s}{'ratio':>10s}{'processor ratio':>18s}")
    ratio = report("warm", hot)
    report("cold", cold)
    base = statistics.median(bare[0] for _, bare in hot)
    print(f"{'Model.fit':10s}{plain:9.2f} s{base:9.2f} s{plain / base:10.2f}")
    print(f"target: warm <= {TARGET} x by the clock: {'met' if ratio <= TARGET else 'MISSED'}")


if __name__ == "__main__":
    main()
