"""How sure a figure is: intervals of one model's figures, and whether two models differ."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
from scipy.stats import binomtest

from catdog.evaluation.metrics import score
from catdog.progress import Advance

LEVEL = 0.95
RESAMPLES = 1000

Interval = tuple[float, float]
"""Lower and upper end, at the 95 % level."""


def wilson(right: int, count: int) -> Interval:
    """Return the interval of a share (Wilson 1927), which holds at 0 and 1 as well.

    Args:
        right: Successes.
        count: Tries; of none nothing is known, which is (0, 1).
    """
    if count == 0:
        return 0.0, 1.0
    found = binomtest(right, count).proportion_ci(LEVEL, method="wilson")
    return float(found.low), float(found.high)


def bootstrap(
    probabilities: np.ndarray,
    labels: np.ndarray,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    advance: Advance = lambda count: None,
) -> dict[str, Interval]:
    """Return percentile bootstrap intervals (Efron 1979) of loss, AUC and ECE.

    The same resampled photos serve all figures. ECE grows with noise, so its interval may lie
    above the figure itself.

    Args:
        probabilities: (n, classes), rows sum to 1.
        labels: (n,) int.
        resamples: How often n photos are drawn with replacement.
        seed: Of the draws.
        advance: Hears of every draw.

    Returns:
        Interval by figure; (NaN, NaN) where a figure is undefined.
    """
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(resamples):
        rows = rng.integers(len(labels), size=len(labels))
        drawn.append(dataclasses.asdict(score(probabilities[rows], labels[rows])))
        advance(1)
    ends = (50 * (1 - LEVEL), 50 * (1 + LEVEL))
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all resamples undefined: that is NaN
        for name in ("loss", "auc", "ece"):
            low, high = np.nanpercentile([one[name] for one in drawn], ends)
            found[name] = (float(low), float(high))
    return found


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two models on the same photos.

    Attributes:
        photos: How many.
        only_first: Photos that only the first has right.
        only_second: Photos that only the second has right.
        p_value: Probability of at least so uneven a count if both were equally good.
    """

    photos: int
    only_first: int
    only_second: int
    p_value: float

    @property
    def differ(self) -> bool:
        """Whether the difference is more than chance, at the 5 % level."""
        return self.p_value < 1 - LEVEL


def mcnemar(first: np.ndarray, second: np.ndarray) -> Comparison:
    """Compare two models by McNemar's test (1947) in its exact, two-sided form.

    Args:
        first: (n,) bool, which photos the first model has right.
        second: (n,) bool, of the same photos in the same order.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    uneven = only_first + only_second
    p_value = binomtest(only_first, uneven).pvalue if uneven else 1.0
    return Comparison(len(first), only_first, only_second, float(p_value))
