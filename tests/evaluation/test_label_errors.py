"""Planted wrong labels and copies are found, nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from catdog.evaluation.label_errors import (
    find_label_issues,
    near_duplicates,
    out_of_fold_probabilities,
)


def clusters(count: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of classes that are easy to tell apart."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % classes)
    centres = rng.normal(size=(classes, 20))
    features = centres[labels] + 0.3 * rng.normal(size=(count, 20))
    return features.astype(np.float32), labels


@pytest.mark.parametrize(("count", "classes", "planted"), [(60, 2, 1), (90, 3, 4), (8, 2, 0)])
def test_wrong_labels_are_found_and_only_they(count: int, classes: int, planted: int) -> None:
    features, labels = clusters(count, classes, seed=count)
    wrong = np.arange(planted) * 7
    labels[wrong] = (labels[wrong] + 1) % classes
    predicted = out_of_fold_probabilities(features, labels)
    assert predicted.shape == (count, classes)
    np.testing.assert_allclose(predicted.sum(1), 1, rtol=1e-6)
    assert set(find_label_issues(predicted, labels)) == set(wrong)


def test_the_least_probable_label_comes_first() -> None:
    predicted = np.array([[0.4, 0.6], [0.9, 0.1], [0.01, 0.99], [0.2, 0.8]])
    assert list(find_label_issues(predicted, np.array([0, 0, 0, 0]))) == [2, 3, 0]
    assert list(find_label_issues(predicted, np.array([1, 0, 1, 1]))) == []


def test_folds_follow_the_seed() -> None:
    features, labels = clusters(40, 2, seed=1)
    assert (
        out_of_fold_probabilities(features, labels) == out_of_fold_probabilities(features, labels)
    ).all()
    assert (
        out_of_fold_probabilities(features, labels)
        != out_of_fold_probabilities(features, labels, seed=1)
    ).any()


def test_near_duplicates_are_pairs_by_similarity() -> None:
    base = np.eye(6, 30, dtype=np.float32)
    near = base[[1, 4]] + 0.05
    near[1] += 0.05
    features = np.concatenate([base, near])
    cosine = features @ features.T / np.outer(*[np.linalg.norm(features, axis=1)] * 2)
    pairs = near_duplicates(features, 0.8)
    assert [(pair.first, pair.second) for pair in pairs] == [(1, 6), (4, 7)]
    for pair in pairs:
        assert pair.similarity == pytest.approx(cosine[pair.first, pair.second], abs=1e-6)
    assert near_duplicates(features, 0.9999) == []
