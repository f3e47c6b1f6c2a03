"""LR range test: the loss of short training steps while the learning rate grows [1].

The learning rate grows by a constant factor per batch from ``min_lr`` to ``max_lr``. With l_i the
loss of batch i before its step, the smoothed loss is the bias-corrected moving average [2]

    s_i = (1 - b) * sum_j b^(i - j) * l_j / (1 - b^(i + 1)),   b = 0.9,

and the test stops when s_i exceeds 4 times the lowest s so far, or is not finite. It suggests

    minimum   a tenth of the learning rate where s is lowest
    steep     the learning rate in the middle of the tenth of the steps over which s falls most,
              without the first tenth of the steps
    valley    the learning rate half way down the longest fall of s, as in fastai [3]. The longest
              decreasing subsequence of s gives the end of the fall and its length. The fall does
              not start at the subsequence's first element, which noise moves far to the left, but
              its length before the end. This is the suggestion that noise disturbs least.

Where s does not fall there is nothing to suggest: on a flat curve all three rules would still name
a rate, and only the noise would have chosen it. So s must fall, from step 10 on (in a short test,
from its first third on: the first averages have few losses), by 1 % and by 1.5 standard deviations
of a single batch's loss. Of curves of nothing but noise, 20 to 400 steps long, that refuses 99 %.

The steps train the model itself with an optimizer that is thrown away. Afterwards every variable
of the model, including seed generators, is restored. The order of the photos comes from a random
generator of the test's own. So the training that follows is the same, bit for bit, as without it.

References:
    [1] Smith 2017, "Cyclical learning rates for training neural networks",
        https://arxiv.org/abs/1506.01186
    [2] Kingma & Ba 2015, "Adam", https://arxiv.org/abs/1412.6980, section 3 (bias correction)
    [3] https://docs.fast.ai/callback.schedule.html#valley
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from catdog.core.files import write_csv
from catdog.features.feeds import Feed
from catdog.training.steps import Steps

SMOOTHING = 0.9
"""Decay b of the moving average."""

DIVERGED = 4.0
"""The test stops when the smoothed loss exceeds this multiple of the lowest so far."""

MARGIN = 10.0
"""The suggestion ``minimum`` is the learning rate of the lowest loss, divided by this."""

LEAST_POINTS = 5
"""Batches with a finite loss that a suggestion needs."""

LEAST_FALL, SIGMAS = 0.01, 1.5
"""Least fall of the smoothed loss: as a part of it, and in standard deviations of a batch's."""


@dataclass(frozen=True)
class Curve:
    """The result of an LR range test of n steps.

    Attributes:
        lr: (n,) float64, increasing learning rates.
        loss: (n,) float64, the loss of each batch before its step.
        smooth: (n,) float64, the smoothed losses.
        diverged: Whether the test stopped before its last step.
    """

    lr: np.ndarray
    loss: np.ndarray
    smooth: np.ndarray
    diverged: bool

    @property
    def suggestions(self) -> dict[str, float]:
        """The learning rates that ``suggest`` returns for this curve."""
        return suggest(self.lr, self.smooth, noise(self.loss))

    @property
    def nothing(self) -> str:
        """Why there is no suggestion, in a few words; empty if there is one."""
        if self.suggestions:
            return ""
        points = int(np.isfinite(self.smooth).sum())
        if points < LEAST_POINTS:
            return f"the loss is finite in {points} of {len(self.loss)} batches only"
        early = " before it diverges" if self.diverged else ""
        return f"the loss does not fall by more than its noise{early}"

    def write_csv(self, path: Path) -> None:
        """Write the curve as CSV with columns ``lr``, ``loss`` and ``smooth_loss``."""
        rows = zip(self.lr, self.loss, self.smooth, strict=True)
        write_csv(path, ("lr", "loss", "smooth_loss"), rows)


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
    """Run the LR range test and leave the model as it was.

    Args:
        steps: The model with an optimizer of constant learning rate, not used afterwards.
        train: Training photos; a new epoch starts when they run out.
        min_lr: First learning rate, greater than 0.
        max_lr: Last learning rate, greater than ``min_lr``.
        count: Number of batches, at least 2.
        rng: Draws the order of the photos and their views.
        on_step: Called after every batch.

    Returns:
        The curve, up to the step where the loss diverged.
    """
    saved = [variable.numpy() for variable in steps.model.variables]
    rates = np.geomspace(min_lr, max_lr, count)
    losses: list[float] = []
    average, lowest = _MovingAverage(), math.inf
    inner = getattr(steps.optimizer, "inner_optimizer", steps.optimizer)
    step = tf.function(
        lambda features, labels: steps.step(features, labels)[0],
        reduce_retracing=True,
        autograph=False,
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
        for variable, value in zip(steps.model.variables, saved, strict=True):
            variable.assign(value)
    loss = np.array(losses)
    return Curve(rates[: len(loss)], loss, smooth(loss), len(loss) < count)


def smooth(loss: np.ndarray) -> np.ndarray:
    """Compute the bias-corrected exponential moving average of losses; see the module.

    Args:
        loss: (n,) losses.

    Returns:
        (n,) float64.

    >>> smooth(np.array([1.0, 1.0, 2.0])).round(3).tolist()
    [1.0, 1.0, 1.369]
    """
    average = _MovingAverage()
    return np.array([average.add(value) for value in loss])


def noise(loss: np.ndarray) -> float:
    """Estimate the standard deviation of a batch's loss around a curve, robustly.

    Args:
        loss: (n,) losses; those that are not finite are left out.

    Returns:
        1.4826 times the median difference of neighbours, over the square root of 2; 0 if there
        are none.

    >>> round(noise(np.array([1.0, 1.2, 1.0, 1.2, 1.0, 9.0])), 3)
    0.21
    """
    steps = np.abs(np.diff(loss[np.isfinite(loss)]))
    return float(1.4826 * np.median(steps) / math.sqrt(2)) if steps.size else 0.0


def suggest(lr: np.ndarray, curve: np.ndarray, noise: float = 0.0) -> dict[str, float]:
    """Suggest learning rates by three rules; see the module.

    Args:
        lr: (n,) increasing learning rates.
        curve: (n,) smoothed losses; points that are not finite are left out.
        noise: Standard deviation of a single batch's loss.

    Returns:
        Learning rates by rule: ``valley``, ``steep`` and ``minimum``; empty if fewer than five
        points are finite, or if the loss does not fall.

    >>> lr = np.geomspace(1e-6, 1.0, 7)
    >>> found = suggest(lr, np.array([1.0, 0.9, 0.7, 0.4, 0.2, 0.3, 2.0]))
    >>> {rule: f"{rate:.0e}" for rule, rate in found.items()}
    {'valley': '1e-04', 'steep': '1e-04', 'minimum': '1e-03'}
    """
    finite = np.isfinite(curve)
    lr, curve = lr[finite], curve[finite]
    if len(lr) < LEAST_POINTS:
        return {}
    lowest = int(np.argmin(curve))
    width = max(1, len(curve) // 10)  # the difference of neighbours is mostly noise
    settled = curve[min(10, len(curve) // 3) :]
    if settled[0] - settled.min() <= max(LEAST_FALL * abs(settled[0]), SIGMAS * noise):
        return {}
    fall = curve[2 * width :] - curve[width:-width]  # the first averages have few losses
    first, last = _longest_fall(curve)
    return {
        "valley": float(lr[(first + last) // 2]),
        "steep": float(lr[int(np.argmin(fall)) + width + width // 2]),
        "minimum": float(lr[lowest] / MARGIN),
    }


def _batches(
    train: Feed, rng: np.random.Generator, size: int
) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    while True:
        for chunk in train.epoch(rng, size):
            for start in range(0, len(chunk.order), size):
                batch = chunk.order[start : start + size]
                yield tf.gather(chunk.features, batch), tf.gather(chunk.labels, batch)


class _MovingAverage:
    """A bias-corrected exponential moving average."""

    def __init__(self) -> None:
        self._mean, self._count = 0.0, 0

    def add(self, value: float) -> float:
        """Add a value and return the average so far."""
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * value
        self._count += 1
        return self._mean / (1 - SMOOTHING**self._count)


def _longest_fall(curve: np.ndarray) -> tuple[int, int]:
    """Return the first and last index of the curve's longest fall; see the module."""
    length = np.ones(len(curve), int)
    for i in range(1, len(curve)):
        length[i] += length[:i][curve[:i] > curve[i]].max(initial=0)
    end = int(np.argmax(length))
    return end + 1 - int(length[end]), end
