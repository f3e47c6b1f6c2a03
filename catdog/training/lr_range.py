"""LR range test (Smith 2017, "Cyclical learning rates"): loss against a growing learning rate.

The rate grows by a constant factor per batch from ``min_lr`` to ``max_lr``. With l_i the loss of
batch i, before its step, the smoothed loss is the bias-corrected moving average

    s_i = (1 - b) * sum_j b^(i - j) * l_j / (1 - b^(i + 1)),   b = 0.9,

and the test stops when s_i passes 4 times the lowest s so far, or is not finite. Suggestions:

    minimum   a tenth of the rate where s is lowest
    steep     the rate in the middle of the tenth of the steps over which s falls most, the
              first tenth left out
    valley    half way down the longest fall of s, as fastai has it: the longest decreasing
              subsequence of s says where the fall ends and, by its length, where it starts (not
              by its first element, which noise puts far to the left): the robust one

Steps are taken on the model itself with an optimizer that is thrown away; afterwards every
variable of the model, seed generators included, is what it was, and the order of the data comes
from a generator of the test's own. Training that follows is bit for bit what it would have been.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from catdog.core.files import write_atomically
from catdog.features.feeds import Feed
from catdog.training.steps import Steps

SMOOTHING = 0.9
DIVERGED = 4.0


@dataclass(frozen=True)
class Curve:
    """What the test measured.

    Attributes:
        lr: (n,) learning rates, growing.
        loss: (n,) loss of the batch at that rate.
        smooth: (n,) its bias-corrected moving average.
        diverged: Whether the test stopped before its last step.
    """

    lr: np.ndarray
    loss: np.ndarray
    smooth: np.ndarray
    diverged: bool

    @property
    def suggestions(self) -> dict[str, float]:
        """The three suggested rates; NaN where the curve has too few finite points."""
        return suggest(self.lr, self.smooth)

    def write_csv(self, path: Path) -> None:
        """Write columns lr, loss, smooth_loss."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("lr", "loss", "smooth_loss"))
        writer.writerows(zip(self.lr, self.loss, self.smooth, strict=True))
        write_atomically(path, text.getvalue().encode())


def run(
    steps: Steps,
    train: Feed,
    *,
    min_lr: float,
    max_lr: float,
    count: int,
    rng: np.random.Generator,
    on_step: Callable[[], None] = lambda: None,
) -> Curve:
    """Measure the curve and leave the model as it was.

    Args:
        steps: The model with a throw-away optimizer of constant rate.
        train: Training photos; taken again from the start when they run out.
        min_lr: First learning rate.
        max_lr: Last learning rate.
        count: Number of batches, at least 2.
        rng: Draws the order of the photos.
        on_step: Called after every batch.
    """
    kept = [variable.numpy() for variable in steps.model.variables]
    rates = np.geomspace(min_lr, max_lr, count)
    losses: list[float] = []
    average, lowest = Average(), math.inf
    inner = getattr(steps.optimizer, "inner_optimizer", steps.optimizer)
    step = tf.function(
        lambda features, labels: steps.step(features, labels)[0], reduce_retracing=True
    )
    try:
        for rate, (features, labels) in zip(
            rates, _batches(train, rng, steps.batch_size), strict=False
        ):
            inner.learning_rate = rate
            losses.append(float(step(features, labels)))
            on_step()
            current = average.add(losses[-1])
            lowest = min(lowest, current)
            if not math.isfinite(losses[-1]) or current > DIVERGED * lowest:
                break
    finally:
        for variable, value in zip(steps.model.variables, kept, strict=True):
            variable.assign(value)
    loss = np.array(losses)
    return Curve(rates[: len(loss)], loss, smooth(loss), len(loss) < count)


def _batches(
    train: Feed, rng: np.random.Generator, size: int
) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    while True:
        for chunk in train.epoch(rng, size):
            for start in range(0, len(chunk.order), size):
                batch = chunk.order[start : start + size]
                yield tf.gather(chunk.features, batch), tf.gather(chunk.labels, batch)


class Average:
    """The bias-corrected exponential moving average, value by value."""

    def __init__(self) -> None:
        self._mean, self._count = 0.0, 0

    def add(self, value: float) -> float:
        """Take in a value and return the average."""
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * value
        self._count += 1
        return self._mean / (1 - SMOOTHING**self._count)


def smooth(loss: np.ndarray) -> np.ndarray:
    """Return the bias-corrected exponential moving average of (n,) losses."""
    average = Average()
    return np.array([average.add(value) for value in loss])


def suggest(lr: np.ndarray, curve: np.ndarray) -> dict[str, float]:
    """Return ``valley``, ``steep`` and ``minimum`` of a smoothed curve; see the module."""
    finite = np.isfinite(curve)
    lr, curve = lr[finite], curve[finite]
    if len(lr) < 5:
        return {"valley": math.nan, "steep": math.nan, "minimum": math.nan}
    lowest = int(np.argmin(curve))
    width = max(1, len(curve) // 10)  # neighbouring points differ by noise, mostly
    fall = curve[2 * width :] - curve[width:-width]  # the first tenth is averaged over too few
    start, end = _longest_fall(curve)
    return {
        "valley": float(lr[(start + end) // 2]),
        "steep": float(lr[int(np.argmin(fall)) + width + width // 2]),
        "minimum": float(lr[lowest] / 10),
    }


def _longest_fall(curve: np.ndarray) -> tuple[int, int]:
    """Return first and last index of the longest fall; see the module."""
    length = np.ones(len(curve), int)
    for i in range(1, len(curve)):
        length[i] += length[:i][curve[:i] > curve[i]].max(initial=0)
    end = int(np.argmax(length))
    return end + 1 - int(length[end]), end
