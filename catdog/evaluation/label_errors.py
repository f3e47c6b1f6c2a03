"""Wrong labels and near-duplicates, found from the stored features of a backbone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from cleanlab import count, filter
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import radius_neighbors_graph
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from catdog.evaluation.intervals import LEVEL, RESAMPLES

FOLDS = 5
"""Largest number of cross-validation folds."""

INVERSE_REGULARIZATION = 0.01
"""scikit-learn's ``C``. On 20,000 cats and dogs it gave an out-of-fold cross-entropy of 0.050;
3e-4 gave 0.065."""

SIMILARITY = 0.95
"""Smallest cosine similarity of near-duplicates. Of 20,000 cats and dogs at 224 px, the 22 pairs
above it were the same picture; from 0.94 down there were also different animals in one pose."""


def out_of_fold_probabilities(
    features: np.ndarray, labels: np.ndarray, *, seed: int = 0
) -> np.ndarray:
    """Predict each photo with a linear head that was not trained on it.

    The heads are logistic regressions on standardized features, cross-validated in up to five
    stratified folds, as in section 3 of Confident Learning (Northcutt, Jiang & Chuang 2021).

    Args:
        features: (n, d) float32.
        labels: (n,) int; every class has at least two photos.
        seed: Seed of the assignment to folds.

    Returns:
        (n, classes) probabilities.

    Example:
        >>> features = np.array([[0.0], [0.1], [1.0], [1.1]], np.float32)
        >>> out_of_fold_probabilities(features, np.array([0, 0, 1, 1])).argmax(1)
        array([0, 0, 1, 1])
    """
    folds = min(FOLDS, int(np.bincount(labels).min()))
    regression = LogisticRegression(C=INVERSE_REGULARIZATION, max_iter=500)
    head = make_pipeline(StandardScaler(), regression)
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return cross_val_predict(head, features, labels, cv=split, method="predict_proba")


class Estimate(NamedTuple):
    """How many labels are wrong.

    Attributes:
        wrong: Number of labels.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    wrong: int
    low: int
    high: int


def estimate(
    probabilities: np.ndarray, labels: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Estimate how many labels are wrong, by confident learning (Northcutt et al. 2021).

    Counted are photos whose probability of another class is at least what that class's own photos
    have on average: a class that the heads confuse asks for less certainty than one they know.

    The interval is the percentile bootstrap's (Efron 1979): the photos of each class are drawn
    with replacement, and counted again. The heads are not trained again. So it tells how much of
    the number is chance, not what all heads get wrong alike.

    Args:
        probabilities: (n, classes) float, out of fold.
        labels: (n,) int, in [0, classes), of at least two classes.
        resamples: Number of samples behind the interval.
        seed: Seed of the draws.

    Example:
        >>> probabilities = np.array([[0.9, 0.1]] * 9 + [[0.1, 0.9]] * 9)
        >>> estimate(probabilities, np.array([1] + [0] * 8 + [1] * 9))
        Estimate(wrong=1, low=0, high=3)
    """
    rng = np.random.default_rng(seed)
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    drawn = []
    for _ in range(resamples):
        rows = np.concatenate([rng.choice(photos, len(photos)) for photos in classes])
        drawn.append(count.num_label_issues(labels[rows], probabilities[rows]))
    low, high = np.percentile(drawn, (50 * (1 - LEVEL), 50 * (1 + LEVEL)))
    return Estimate(int(count.num_label_issues(labels, probabilities)), round(low), round(high))


def find_label_issues(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Find the labels that are probably wrong: as many as ``estimate`` counts.

    They are those with the lowest normalized margin, the probability of the label less that of
    the most probable other class.

    Args:
        probabilities: (n, classes) float, out of fold.
        labels: (n,) int, in [0, classes), of at least two classes.

    Returns:
        (k,) int indices of photos, the likeliest errors first.

    Example:
        >>> probabilities = np.array([[0.9, 0.1]] * 9 + [[0.1, 0.9]] * 9)
        >>> find_label_issues(probabilities, np.array([1] + [0] * 8 + [1] * 9))
        array([0])
    """
    return filter.find_label_issues(
        labels, probabilities, filter_by="low_normalized_margin",
        return_indices_ranked_by="normalized_margin", n_jobs=1,
    )  # fmt: skip


class Pair(NamedTuple):
    """Two photos that look nearly the same.

    Attributes:
        first: Index of a photo.
        second: Index of the other photo, larger than ``first``.
        similarity: Cosine similarity of their features.
    """

    first: int
    second: int
    similarity: float


def near_duplicates(features: np.ndarray, least: float = SIMILARITY) -> list[Pair]:
    """Find all pairs of photos whose features have a high cosine similarity.

    Every photo is compared with every other: the time grows with n squared, the memory does not,
    since the comparison goes block by block.

    Args:
        features: (n, d) float32.
        least: Smallest cosine similarity of a pair, in (0, 1).

    Returns:
        The pairs, the most similar first.

    Example:
        >>> near_duplicates(np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]], np.float32))
        [Pair(first=0, second=2, similarity=1.0)]
    """
    distances = radius_neighbors_graph(
        features, 1 - least, mode="distance", metric="cosine", include_self=False
    ).tocoo()
    pairs = [
        Pair(int(first), int(second), float(1 - distance))
        for first, second, distance in zip(
            distances.row, distances.col, distances.data, strict=True
        )
        if first < second
    ]
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair.first, pair.second))
