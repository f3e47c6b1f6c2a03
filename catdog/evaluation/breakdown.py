"""Where a model is right: by class, by threshold, by confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.metrics import precision_recall_fscore_support

from catdog.evaluation.intervals import wilson
from catdog.evaluation.metrics import ECE_BINS

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
COVERAGES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)


class ClassRow(NamedTuple):
    """One class: all but the counts in [0, 1]; ``low`` and ``high`` are the recall's interval."""

    name: str
    photos: int
    predicted: int
    precision: float
    recall: float
    low: float
    high: float
    f1: float


class ThresholdRow(NamedTuple):
    """What calling a photo ``name`` from a probability on would do; shares in [0, 1]."""

    name: str
    threshold: float
    predicted: int
    precision: float
    recall: float
    f1: float
    false_positive_rate: float


class CoverageRow(NamedTuple):
    """What answering only from a confidence on would do; the interval is the accuracy's."""

    confidence: float
    photos: int
    coverage: float
    accuracy: float
    low: float
    high: float


class Bin(NamedTuple):
    """Photos whose largest probability lies in one of 15 equal bins, from ``start`` to ``stop``.

    ``low`` and ``high`` are the accuracy's interval.
    """

    start: float
    stop: float
    photos: int
    confidence: float
    accuracy: float
    low: float
    high: float


def by_class(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> list[ClassRow]:
    """Return precision, recall and F1 of each class; 0 where nothing was predicted.

    Args:
        probabilities: (n, classes).
        labels: (n,) int.
        classes: Names.
    """
    said, every = probabilities.argmax(1), range(len(classes))
    scores = precision_recall_fscore_support(labels, said, labels=every, zero_division=0)
    rows = []
    for k, (precision, recall, f1, support) in enumerate(zip(*scores, strict=True)):
        interval = wilson(int(((labels == k) & (said == k)).sum()), int(support))
        predicted = int((said == k).sum())
        rows.append(
            ClassRow(classes[k], int(support), predicted, precision, recall, *interval, f1)
        )
    return rows


def thresholds(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> list[ThresholdRow]:
    """Return one-vs-rest rows for each class; of two classes the second says it all.

    Args:
        probabilities: (n, classes).
        labels: (n,) int.
        classes: Names.
    """
    shown = range(1, 2) if len(classes) == 2 else range(len(classes))
    return [
        _at(probabilities[:, k], labels == k, classes[k], t) for k in shown for t in THRESHOLDS
    ]


def _at(values: np.ndarray, true: np.ndarray, name: str, threshold: float) -> ThresholdRow:
    called = values >= threshold
    hits, predicted, own = int((called & true).sum()), int(called.sum()), int(true.sum())
    precision, recall = hits / max(1, predicted), hits / max(1, own)
    f1 = 2 * hits / max(1, predicted + own)
    wrong = (predicted - hits) / max(1, len(true) - own)
    return ThresholdRow(name, threshold, predicted, precision, recall, f1, wrong)


def coverage(probabilities: np.ndarray, labels: np.ndarray) -> list[CoverageRow]:
    """Return how many photos pass each confidence, and how many of them are right.

    Args:
        probabilities: (n, classes).
        labels: (n,) int.
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    rows = []
    for least in COVERAGES:
        kept = confidence >= least
        count, hits = int(kept.sum()), int(right[kept].sum())
        accuracy = hits / count if count else float("nan")
        rows.append(CoverageRow(least, count, count / len(labels), accuracy, *wilson(hits, count)))
    return rows


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> list[Bin]:
    """Return the bins of the ECE that hold photos, by increasing confidence.

    Args:
        probabilities: (n, classes).
        labels: (n,) int.
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    number = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    return [_bin(int(b), confidence[number == b], right[number == b]) for b in np.unique(number)]


def _bin(number: int, confidence: np.ndarray, right: np.ndarray) -> Bin:
    start, stop = number / ECE_BINS, (number + 1) / ECE_BINS
    hits, count = int(right.sum()), len(right)
    return Bin(start, stop, count, float(confidence.mean()), hits / count, *wilson(hits, count))
