"""Score predictions: metrics, calibration, mistakes. Knows no logger and no configuration."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import confusion_matrix, roc_auc_score

from catdog.core.files import write_atomically

ECE_BINS = 15


@dataclass(frozen=True)
class Scores:
    """Figures of one split: cross-entropy in nats; the others in [0, 1]."""

    loss: float
    accuracy: float
    auc: float
    ece: float


def score(probabilities: np.ndarray, labels: np.ndarray) -> Scores:
    """Score predictions.

    Args:
        probabilities: (n, classes), rows sum to 1.
        labels: (n,) int.

    Returns:
        Cross-entropy, accuracy, area under the ROC curve (macro one-vs-rest; NaN when a class is
        absent or a prediction NaN) and expected calibration error.
    """
    of_label = np.take_along_axis(probabilities, labels[:, None], 1)[:, 0].astype(np.float64)
    return Scores(
        loss=float(-np.log(np.maximum(of_label, 1e-38)).mean()),
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
    """Return the ECE of Naeini et al. 2015 with 15 equal bins of the largest probability."""
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == labels
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = [
        abs(correct[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    ]
    return float(sum(gaps))


def confusion(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (classes, classes) counts: rows are true, columns predicted."""
    everything = np.arange(probabilities.shape[1])
    return confusion_matrix(labels, probabilities.argmax(1), labels=everything)


def worst_mistakes(probabilities: np.ndarray, labels: np.ndarray, most: int = 25) -> np.ndarray:
    """Return the indices of wrong predictions, the most confident first."""
    wrong = np.flatnonzero(probabilities.argmax(1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][:most]


def write_predictions(
    path: Path,
    photos: Sequence[str],
    classes: Sequence[str],
    labels: np.ndarray,
    probabilities: np.ndarray,
) -> None:
    """Write a CSV: path, true label, predicted class, its probability, one column per class."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "label", "class", "probability", *classes))
    for photo, label, row in zip(photos, labels, probabilities, strict=True):
        best = int(row.argmax())
        shown = [f"{value:.9g}" for value in row]  # nine digits hold a float32 exactly
        writer.writerow((photo, classes[label], classes[best], shown[best], *shown))
    write_atomically(path, text.getvalue().encode())
