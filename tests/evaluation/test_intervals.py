"""Intervals hold what they promise; McNemar's test tells a difference from chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catdog.evaluation.intervals import bootstrap, mcnemar, wilson


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [
        # 220 of 221: by hand from Wilson's formula with z = 1.959964
        (220, 221, 0.974819, 0.999201),
        (0, 10, 0.0, 0.277533),
        (10, 10, 0.722467, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson(right: int, count: int, low: float, high: float) -> None:
    assert wilson(right, count) == pytest.approx((low, high), abs=1e-6)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_mirrors(tries: tuple[int, int]) -> None:
    right, count = tries
    low, high = wilson(right, count)
    assert 0 <= low <= right / count <= high <= 1
    other_low, other_high = wilson(count - right, count)
    assert (low, high) == pytest.approx((1 - other_high, 1 - other_low), abs=1e-9)


def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that are as sure as they should be."""
    rng = np.random.default_rng(seed)
    sure = rng.uniform(size=count)
    return np.stack([1 - sure, sure], 1), (rng.uniform(size=count) < sure).astype(int)


def test_bootstrap_is_as_wide_as_theory_says() -> None:
    probabilities, labels = drawn(400, 0)
    each = -np.log(np.take_along_axis(probabilities, labels[:, None], 1))
    low, high = bootstrap(probabilities, labels, resamples=300)["loss"]
    assert high - low == pytest.approx(2 * 1.96 * each.std() / math.sqrt(400), rel=0.15)
    assert (low + high) / 2 == pytest.approx(each.mean(), rel=0.03)


def test_bootstrap_is_the_same_again_and_says_what_it_cannot_know() -> None:
    probabilities, labels = drawn(30, 0)
    once = bootstrap(probabilities, labels, resamples=20)
    assert once == bootstrap(probabilities, labels, resamples=20)
    assert once != bootstrap(probabilities, labels, resamples=20, seed=1)
    alone = bootstrap(probabilities, np.zeros(30, int), resamples=5)
    assert all(math.isnan(end) for end in alone["auc"])
    assert alone["loss"][0] <= alone["loss"][1]


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value", "differ"),
    [
        (0, 0, 1.0, False),
        (5, 5, 1.0, False),
        (1, 9, 2 * 11 / 1024, True),  # two-sided: 1 or fewer of 10
        (2, 8, 2 * 56 / 1024, False),
        (0, 5, 2 / 32, False),
        (0, 6, 2 / 64, True),
    ],
)
def test_mcnemar(only_first: int, only_second: int, p_value: float, differ: bool) -> None:
    first = np.array([True] * only_first + [False] * only_second + [True, True, False])
    second = np.array([False] * only_first + [True] * only_second + [True, True, False])
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.photos == only_first + only_second + 3
    assert found.p_value == pytest.approx(p_value)
    assert found.differ is differ
