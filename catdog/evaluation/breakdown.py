"""Tables of where a model is right: by class, by decision threshold, by confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from catdog.evaluation.intervals import wilson
from catdog.evaluation.metrics import ECE_BINS, confidence_bins

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Decision thresholds on a class's probability."""

COVERAGES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
"""Smallest confidences from which a selective classifier answers."""


class ClassRow(NamedTuple):
    """Precision, recall and F1 of one class.

    Attributes:
        name: Name of the class.
        photos: Photos of the class.
        predicted: Photos predicted as the class.
        precision: Fraction of the predicted photos that are of the class, in [0, 1]; None if no
            photo is predicted.
        recall: Fraction of the class's photos that are predicted as it, in [0, 1]; None, as what
            follows, if the class has no photo.
        low: Lower end of the recall's 95 % interval.
        high: Upper end of the recall's 95 % interval.
        f1: Harmonic mean of precision and recall, in [0, 1]; 0 if no photo is predicted.
    """

    name: str
    photos: int
    predicted: int
    precision: float | None
    recall: float | None
    low: float | None
    high: float | None
    f1: float | None


class ThresholdRow(NamedTuple):
    """What happens if a photo counts as a class from a threshold of its probability on.

    Attributes:
        name: Name of the class.
        threshold: Smallest probability of the class that counts, in (0, 1).
        predicted: Photos at or above the threshold.
        precision: Fraction of the predicted photos that are of the class, in [0, 1]; None if no
            photo is predicted.
        recall: Fraction of the class's photos that are predicted, in [0, 1]; None if it has none.
        f1: Harmonic mean of precision and recall, in [0, 1]; None if the class has no photo.
        false_positive_rate: Fraction of the other classes' photos that are predicted, in [0, 1];
            None if there are none.
    """

    name: str
    threshold: float
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None
    false_positive_rate: float | None


class CoverageRow(NamedTuple):
    """What happens if only photos from a confidence on are answered (selective prediction).

    Attributes:
        confidence: Smallest confidence that is answered, in [0, 1].
        photos: Photos answered.
        coverage: Fraction of all photos that are answered, in [0, 1].
        accuracy: Fraction of the answers that are correct, in [0, 1]; None, as its interval,
            without an answer.
        low: Lower end of the accuracy's 95 % interval.
        high: Upper end of the accuracy's 95 % interval.
    """

    confidence: float
    photos: int
    coverage: float
    accuracy: float | None
    low: float | None
    high: float | None


class Bin(NamedTuple):
    """One bin of a reliability diagram: photos of similar confidence.

    Attributes:
        start: Smallest confidence of the bin.
        stop: Largest confidence of the bin.
        photos: Photos in the bin.
        confidence: Their mean confidence, in [0, 1].
        accuracy: Fraction that is predicted correctly, in [0, 1].
        low: Lower end of the accuracy's 95 % interval.
        high: Upper end of the accuracy's 95 % interval.
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
    """Compute precision, recall and F1 of each class.

    Args:
        probabilities: (n, classes) float; the most probable class is the predicted one.
        labels: (n,) int, in [0, classes).
        classes: Names of the classes.

    Returns:
        One row per class.

    Example:
        >>> probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]])
        >>> cat, dog = by_class(probabilities, np.array([0, 1, 1]), ["cat", "dog"])
        >>> dog.predicted, dog.precision, dog.recall
        (1, 1.0, 0.5)
    """
    chosen, rows = probabilities.argmax(1), []
    for k, name in enumerate(classes):
        hits = int(((labels == k) & (chosen == k)).sum())
        photos, predicted = int((labels == k).sum()), int((chosen == k).sum())
        f1 = ratio(2 * hits, predicted + photos) if photos else None
        low, high = wilson(hits, photos) if photos else (None, None)
        figures = ratio(hits, predicted), ratio(hits, photos), low, high, f1
        rows.append(ClassRow(name, photos, predicted, *figures))
    return rows


def ratio(part: int, whole: int) -> float | None:
    """Return a fraction; None if it is undefined, as 0 of 0."""
    return part / whole if whole else None


def thresholds(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> list[ThresholdRow]:
    """Compute precision, recall and false positive rate at 19 decision thresholds.

    Args:
        probabilities: (n, classes) float.
        labels: (n,) int, in [0, classes).
        classes: Names of the classes.

    Returns:
        Rows of each class against the rest, by increasing threshold; of two classes only the
        second, since the first is its complement.

    Example:
        >>> probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]])
        >>> rows = thresholds(probabilities, np.array([0, 1, 1]), ["cat", "dog"])
        >>> [row.recall for row in rows if row.threshold in (0.25, 0.5)]
        [1.0, 0.5]
    """
    shown = range(1, 2) if len(classes) == 2 else range(len(classes))
    return [
        _at_threshold(probabilities[:, k], labels == k, classes[k], threshold)
        for k in shown
        for threshold in THRESHOLDS
    ]


def _at_threshold(
    values: np.ndarray, of_class: np.ndarray, name: str, threshold: float
) -> ThresholdRow:
    above = values >= threshold
    hits, predicted, photos = int((above & of_class).sum()), int(above.sum()), int(of_class.sum())
    precision, recall = ratio(hits, predicted), ratio(hits, photos)
    f1 = ratio(2 * hits, predicted + photos) if photos else None
    false_positive_rate = ratio(predicted - hits, len(of_class) - photos)
    return ThresholdRow(name, threshold, predicted, precision, recall, f1, false_positive_rate)


def coverage(probabilities: np.ndarray, labels: np.ndarray) -> list[CoverageRow]:
    """Compute coverage and accuracy of answering only confident predictions.

    Args:
        probabilities: (n, classes) float; the largest of a row is the photo's confidence.
        labels: (n,) int, in [0, classes).

    Returns:
        One row for each confidence in ``COVERAGES``.

    Example:
        >>> rows = coverage(np.array([[0.9, 0.1], [0.45, 0.55]]), np.array([0, 0]))
        >>> [(row.confidence, row.coverage, row.accuracy) for row in rows[:3]]
        [(0.0, 1.0, 0.5), (0.5, 1.0, 0.5), (0.6, 0.5, 1.0)]
    """
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    rows = []
    for smallest in COVERAGES:
        answered = confidence >= smallest
        count, hits = int(answered.sum()), int(correct[answered].sum())
        interval = wilson(hits, count) if count else (None, None)
        row = (smallest, count, count / len(labels), ratio(hits, count), *interval)
        rows.append(CoverageRow(*row))
    return rows


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> list[Bin]:
    """Compute the bins of a reliability diagram, those of the expected calibration error.

    Args:
        probabilities: (n, classes) float; the largest of a row is the photo's confidence.
        labels: (n,) int, in [0, classes).

    Returns:
        The bins that hold photos, by increasing confidence.

    Example:
        >>> low, high = reliability(np.array([[0.9, 0.1], [0.45, 0.55]]), np.array([0, 0]))
        >>> low.photos, low.confidence, low.accuracy
        (1, 0.55, 0.0)
    """
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    bins = confidence_bins(confidence)
    return [_bin(int(b), confidence[bins == b], correct[bins == b]) for b in np.unique(bins)]


def _bin(index: int, confidence: np.ndarray, correct: np.ndarray) -> Bin:
    start, stop = index / ECE_BINS, (index + 1) / ECE_BINS
    hits, count = int(correct.sum()), len(correct)
    return Bin(start, stop, count, float(confidence.mean()), hits / count, *wilson(hits, count))
