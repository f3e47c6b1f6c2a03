"""How certain a metric is: confidence intervals, and a test whether two models differ."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
from scipy.stats import binomtest

from catdog.evaluation.metrics import score
from catdog.progress import Advance

LEVEL = 0.95
"""Confidence level of all intervals; 1 - LEVEL is the significance level of the test."""

RESAMPLES = 1000
"""Bootstrap samples behind an interval."""

Interval = tuple[float, float]
"""Lower and upper end of a confidence interval."""


def wilson(right: int, count: int) -> Interval:
    """Return the 95 % score interval of a proportion (Wilson 1927).

    Unlike the normal approximation it is also valid for small counts and proportions of 0 or 1.

    Args:
        right: Number of successes, such as correct predictions.
        count: Number of trials, at least ``right``.

    Returns:
        Lower and upper end, in [0, 1]; (0, 1) without any trial.

    Example:
        >>> low, high = wilson(90, 100)
        >>> round(low, 4), round(high, 4)
        (0.8256, 0.9448)
    """
    if count == 0:
        return 0.0, 1.0
    interval = binomtest(right, count).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def bootstrap(
    probabilities: np.ndarray,
    labels: np.ndarray,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    advance: Advance = lambda count: None,
) -> dict[str, Interval]:
    """Return 95 % percentile bootstrap intervals (Efron 1979) of loss, AUC and ECE.

    All metrics are computed on the same samples. Noise increases the ECE, so that its interval may
    lie above the ECE of the predictions themselves.

    Args:
        probabilities: (n, classes) float, rows sum to 1.
        labels: (n,) int, in [0, classes).
        resamples: Number of samples, each n photos drawn with replacement.
        seed: Seed of the draws.
        advance: Called with 1 after every sample.

    Returns:
        Interval by metric: ``loss``, ``auc``, ``ece``; (NaN, NaN) where a metric is undefined.

    Example:
        >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])
        >>> low, high = bootstrap(probabilities, np.array([0, 1, 1, 0]), resamples=100)["loss"]
        >>> round(low, 3), round(high, 3)
        (0.149, 0.959)
    """
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(resamples):
        rows = rng.integers(len(labels), size=len(labels))
        drawn.append(dataclasses.asdict(score(probabilities[rows], labels[rows])))
        advance(1)
    percentiles = (50 * (1 - LEVEL), 50 * (1 + LEVEL))
    intervals = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a metric undefined in all samples is NaN
        for name in ("loss", "auc", "ece"):
            low, high = np.nanpercentile([scores[name] for scores in drawn], percentiles)
            intervals[name] = (float(low), float(high))
    return intervals


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Result of McNemar's test between two models on the same photos.

    Attributes:
        photos: Number of photos.
        only_first: Photos that only the first model predicts correctly.
        only_second: Photos that only the second model predicts correctly.
        p_value: Probability of a difference at least this large if both models were equally good.
    """

    photos: int
    only_first: int
    only_second: int
    p_value: float

    @property
    def differ(self) -> bool:
        """Whether the difference is significant at the 5 % level."""
        return self.p_value < 1 - LEVEL


def mcnemar(first: np.ndarray, second: np.ndarray) -> Comparison:
    """Compare two models by the exact, two-sided test of McNemar (1947).

    Args:
        first: (n,) bool, which photos the first model predicts correctly.
        second: (n,) bool, the same of the second model, photos in the same order.

    Returns:
        The counts and the p-value.

    Example:
        >>> first = np.array([True] * 9 + [False])
        >>> mcnemar(first, ~first)
        Comparison(photos=10, only_first=9, only_second=1, p_value=0.021484375)
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    discordant = only_first + only_second
    p_value = binomtest(only_first, discordant).pvalue if discordant else 1.0
    return Comparison(len(first), only_first, only_second, float(p_value))
