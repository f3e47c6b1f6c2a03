"""Tables by class, threshold and confidence, checked by counting."""

from __future__ import annotations

import numpy as np
import pytest

from catdog.evaluation import breakdown
from catdog.evaluation.metrics import expected_calibration_error

DOG = np.array([0.1, 0.2, 0.7, 0.6, 0.9, 0.95], np.float32)
TWO = np.stack([1 - DOG, DOG], 1)
LABELS = np.array([0, 0, 0, 1, 1, 1])  # the third is wrong


def test_by_class() -> None:
    cat, dog = breakdown.by_class(TWO, LABELS, ["cat", "dog"])
    assert (cat.photos, cat.predicted, cat.precision, cat.recall) == (3, 2, 1.0, 2 / 3)
    assert (dog.photos, dog.predicted, dog.precision, dog.recall) == (3, 4, 0.75, 1.0)
    assert dog.f1 == pytest.approx(6 / 7)
    assert cat.low < 2 / 3 < cat.high


def test_what_cannot_be_had_is_undefined() -> None:
    rows = breakdown.by_class(np.pad(TWO, [(0, 0), (0, 1)]), LABELS, ["cat", "dog", "owl"])
    assert rows[2][1:] == (0, 0, None, None, None, None, None)
    cats, dogs = breakdown.by_class(TWO[3:], np.zeros(3, int), ["cat", "dog"])
    assert cats[1:5] == (3, 0, None, 0.0) and cats.f1 == 0.0  # no photo is predicted as cat
    assert dogs[1:5] == (0, 3, 0.0, None) and dogs.f1 is None  # and none is a dog
    by_value = {r.threshold: r for r in breakdown.thresholds(TWO, 0 * LABELS, ["cat", "dog"])}
    assert by_value[0.1][2:] == (6, 0.0, None, None, 1.0)
    by_value = {r.threshold: r for r in breakdown.thresholds(TWO[:2], LABELS[3:5], ["cat", "dog"])}
    assert by_value[0.5][2:] == (0, None, 0.0, 0.0, None)


def test_thresholds_of_two_classes_are_the_second_ones() -> None:
    rows = breakdown.thresholds(TWO, LABELS, ["cat", "dog"])
    assert {row.name for row in rows} == {"dog"}
    by_value = {row.threshold: row for row in rows}
    assert by_value[0.65][2:] == (3, 2 / 3, 2 / 3, 2 / 3, 1 / 3)
    assert by_value[0.8][2:] == (2, 1.0, 2 / 3, 0.8, 0.0)
    assert by_value[0.05].predicted == 6


def test_thresholds_of_more_classes_are_each_against_the_rest() -> None:
    three = np.eye(3, dtype=np.float32)[[0, 1, 2, 2]]
    rows = breakdown.thresholds(three, np.array([0, 1, 2, 0]), ["a", "b", "c"])
    half = {row.name: row for row in rows if row.threshold == 0.5}
    assert half["a"][2:5] == (1, 1.0, 0.5)
    assert half["c"][2:] == (2, 0.5, 1.0, 2 / 3, 1 / 3)


def test_coverage_falls_and_leaves_the_sure_ones() -> None:
    rows = breakdown.coverage(TWO, LABELS)
    assert [row.photos for row in rows] == sorted((row.photos for row in rows), reverse=True)
    by_value = {row.confidence: row for row in rows}
    assert by_value[0.0][1:4] == (6, 1.0, 5 / 6)
    assert by_value[0.8][1:4] == (4, 4 / 6, 1.0)
    assert by_value[0.999][1:] == (0, 0.0, None, None, None)


def test_bins_add_up_to_the_ece() -> None:
    rng = np.random.default_rng(0)
    raw = rng.uniform(size=(200, 3))
    probabilities, labels = raw / raw.sum(1, keepdims=True), rng.integers(3, size=200)
    bins = breakdown.reliability(probabilities, labels)
    assert sum(one.photos for one in bins) == 200
    gaps = sum(abs(one.accuracy - one.confidence) * one.photos for one in bins) / 200
    assert gaps == pytest.approx(expected_calibration_error(probabilities, labels))
    assert all(one.start <= one.confidence <= one.stop for one in bins)
    assert all(one.low <= one.accuracy <= one.high for one in bins)
