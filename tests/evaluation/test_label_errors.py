"""Planted wrong labels and copies are found, nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from catdog.evaluation import label_errors
from catdog.evaluation.label_errors import (
    estimate,
    find_label_issues,
    near_duplicates,
    out_of_fold_probabilities,
)


def clusters(
    count: int, classes: int, seed: int, spread: float = 0.3
) -> tuple[np.ndarray, np.ndarray]:
    """Features of classes that are easy to tell apart, unless they spread."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % classes)
    centres = rng.normal(size=(classes, 20))
    features = centres[labels] + spread * rng.normal(size=(count, 20))
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
    assert list(find_label_issues(predicted, np.array([0, 1, 0, 0]))) == [2, 1, 3, 0]
    assert list(find_label_issues(predicted, np.array([1, 0, 1, 1]))) == []


def exchanged(share: float, spread: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions of heads for 800 photos of five classes, their labels, the exchanged ones."""
    features, labels = clusters(800, 5, seed, spread)
    wrong = np.random.default_rng(seed).random(800) < share
    labels = (labels + wrong * (1 + seed % 4)) % 5
    return out_of_fold_probabilities(features, labels), labels, wrong


def test_not_all_that_the_heads_get_wrong_is_doubted() -> None:
    """As on flowers: heads that are right in three of four photos, one label in twenty wrong."""
    predicted, labels, wrong = exchanged(0.05, 2.2, seed=0)
    ranked = find_label_issues(predicted, labels)
    assert 0.15 < len(ranked) / 800 < 0.4
    found = ranked[: estimate(predicted, labels).high]
    assert len(found) < 0.7 * len(ranked)
    assert wrong[found].mean() > 1.2 * wrong[ranked].mean()
    assert wrong[found[: wrong.sum()]].mean() > wrong[found].mean()  # the likely ones come first


@pytest.mark.parametrize("share", [0, 0.05, 0.2])
def test_the_estimate_is_near_and_its_interval_has_it(share: float) -> None:
    predicted, labels, wrong = exchanged(share, 0.5, seed=0)
    told, planted = estimate(predicted, labels, resamples=50), int(wrong.sum())
    assert 0.6 * planted <= told.wrong <= 1.1 * planted  # confident learning counts the sure ones
    assert told.low <= planted <= told.high <= 1.5 * planted + 4
    assert told == estimate(predicted, labels, resamples=50)


def test_one_wrong_label_of_few_photos_is_within_the_interval() -> None:
    """Nothing that a bootstrap draws from no error is an error."""
    features, labels = clusters(60, 2, seed=60)
    labels[0] = 1 - labels[0]
    predicted = out_of_fold_probabilities(features, labels)
    assert list(find_label_issues(predicted, labels)[: estimate(predicted, labels).high]) == [0]


def test_of_two_heads_the_better_predicts() -> None:
    features, labels = clusters(300, 5, seed=0, spread=2.5)
    chosen = log_loss(labels, out_of_fold_probabilities(features, labels))
    for strength in label_errors.INVERSE_REGULARIZATIONS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(label_errors, "INVERSE_REGULARIZATIONS", (strength,))
            assert chosen <= log_loss(labels, out_of_fold_probabilities(features, labels))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_doubted_are_those_of_another_class_in_order(data: st.DataObject) -> None:
    count, classes = data.draw(st.integers(2, 30)), data.draw(st.integers(2, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    labels = np.concatenate([[0, 1], rng.integers(classes, size=count - 2)])
    predicted = rng.dirichlet(np.full(classes, 0.5), size=count)
    found, told = find_label_issues(predicted, labels), estimate(predicted, labels, resamples=5)
    assert set(found) == set(np.flatnonzero(predicted.argmax(1) != labels))
    assert (np.diff(predicted[found, labels[found]]) >= 0).all()
    assert 0 <= told.low <= told.high <= count and told.wrong <= len(found)


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
