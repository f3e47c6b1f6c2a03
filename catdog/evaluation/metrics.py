"""Metrics of predictions, the mistakes among them, and the file that holds them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import confusion_matrix, roc_auc_score

from catdog.core import tables
from catdog.core.files import write_csv

FEW = 100
"""Below so many photos, a figure says of how many it is."""

ECE_BINS = 15
"""Number of equal confidence bins of the expected calibration error."""

SMALLEST = 1e-38
"""Probabilities below it, near float32's smallest, count as it: cross-entropy stays finite."""


@dataclass(frozen=True)
class Scores:
    """Metrics of one split.

    Attributes:
        loss: Mean cross-entropy in nats.
        accuracy: Fraction of correct predictions, in [0, 1].
        auc: Area under the ROC curve, in [0, 1]; the mean over classes, each against the rest.
            NaN where it is undefined.
        ece: Expected calibration error, in [0, 1].
    """

    loss: float
    accuracy: float
    auc: float
    ece: float


def shown(figure: float | None) -> str:
    """Return a figure with four decimals, or that it is undefined.

    Example:
        >>> shown(0.5), shown(None), shown(float("nan"))
        ('0.5000', 'undefined', 'undefined')
    """
    return "undefined" if figure is None or math.isnan(figure) else f"{figure:.4f}"


def of_few(photos: int) -> str:
    """Return how many photos figures are of, if these are few; else nothing.

    Example:
        >>> of_few(82), of_few(1), of_few(1000)
        (' of 82 photos', ' of 1 photo', '')
    """
    return f" of {photos} photo{'s' * (photos != 1)}" if photos < FEW else ""


def score(probabilities: np.ndarray, labels: np.ndarray) -> Scores:
    """Compute the metrics of predictions.

    Args:
        probabilities: (n, classes) float, rows sum to 1.
        labels: (n,) int, in [0, classes).

    Returns:
        Cross-entropy, accuracy, AUC and ECE. The AUC is NaN if a class has no photo or a
        prediction is NaN.

    Example:
        >>> scores = score(np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]]), np.array([0, 1, 1]))
        >>> round(scores.loss, 4), round(scores.accuracy, 4), scores.auc
        (0.6067, 0.6667, 1.0)
    """
    of_label = np.take_along_axis(probabilities, labels[:, None], 1)[:, 0].astype(np.float64)
    return Scores(
        loss=float(-np.log(np.maximum(of_label, SMALLEST)).mean()),
        accuracy=float((probabilities.argmax(1) == labels).mean()),
        auc=_auc(probabilities.astype(np.float64), labels),
        ece=expected_calibration_error(probabilities, labels),
    )


def _auc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    classes = probabilities.shape[1]
    if len(np.unique(labels)) < classes or not np.isfinite(probabilities).all():
        return float("nan")
    if classes == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    rows = probabilities / probabilities.sum(1, keepdims=True)
    return float(roc_auc_score(labels, rows, multi_class="ovr", average="macro"))


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error (Naeini et al. 2015).

    It is the mean distance between confidence and accuracy, over 15 equal bins of confidence that
    are weighted by their number of photos. Confidence is the largest probability of a photo.

    Args:
        probabilities: (n, classes) float, rows sum to 1.
        labels: (n,) int, in [0, classes).

    Returns:
        The error, in [0, 1].

    Example:
        >>> two_right = np.array([[0.9, 0.1], [0.1, 0.9]])
        >>> round(expected_calibration_error(two_right, np.array([0, 1])), 3)
        0.1
    """
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == labels
    bins = confidence_bins(confidence)
    gaps = [
        abs(correct[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    ]
    return float(sum(gaps))


def confidence_bins(confidence: np.ndarray) -> np.ndarray:
    """Return the bin of each confidence: (n,) int, in [0, 15), from (n,) float, in [0, 1].

    Example:
        >>> confidence_bins(np.array([0.0, 0.5, 1.0]))
        array([ 0,  7, 14])
    """
    return np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)


def confusion(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count photos by true and predicted class.

    Args:
        probabilities: (n, classes) float.
        labels: (n,) int, in [0, classes).

    Returns:
        (classes, classes) int confusion matrix: true class by row, predicted class by column.

    Example:
        >>> confusion(np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]]), np.array([0, 1, 1]))
        array([[1, 0],
               [1, 1]])
    """
    all_classes = np.arange(probabilities.shape[1])
    return confusion_matrix(labels, probabilities.argmax(1), labels=all_classes)


def worst_mistakes(probabilities: np.ndarray, labels: np.ndarray, most: int = 25) -> np.ndarray:
    """Find the wrong predictions, the most confident first.

    Args:
        probabilities: (n, classes) float.
        labels: (n,) int, in [0, classes).
        most: Largest number of mistakes to return.

    Returns:
        (k,) int indices of photos, k at most ``most``.

    Example:
        >>> worst_mistakes(np.array([[0.6, 0.4], [0.1, 0.9], [0.8, 0.2]]), np.array([1, 0, 0]))
        array([1, 0])
    """
    wrong = np.flatnonzero(probabilities.argmax(1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][:most]


def write_predictions(
    path: Path,
    photos: Sequence[str],
    classes: Sequence[str],
    labels: np.ndarray,
    probabilities: np.ndarray,
) -> None:
    """Write predictions as CSV: path, true label, predicted class, its probability, all others.

    Args:
        path: The file to write.
        photos: n paths.
        classes: Names of the classes; each becomes a column of probabilities. That of a class
            called as one of the first four columns gets `` (class)`` behind its name.
        labels: (n,) int, in [0, classes).
        probabilities: (n, classes) float32; the digits written restore it exactly.
    """
    rows = (
        (photo, classes[label], classes[row.argmax()], float(row.max()), *row.tolist())
        for photo, label, row in zip(photos, labels, probabilities, strict=True)
    )
    columns = tables.columns(("path", "label", "class", "probability"), classes)
    write_csv(path, columns, rows, digits=9)  # nine digits restore a float32 exactly
