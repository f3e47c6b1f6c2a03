"""A stored space is compared with what a command asks for."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from optuna_workers.space.difference import difference
from optuna_workers.space.parameter import same

from tests.spaces import (
    INTERVALS,
    LISTS,
    commands,
    points,
    read,
)


@given(commands(LISTS | INTERVALS), commands(LISTS | INTERVALS))
def test_a_stored_space_is_the_same_or_different(one: list[str], other: list[str]) -> None:
    first, second = read(*one), read(*other)
    stored = json.loads(json.dumps(first.canonical()))
    assert difference(stored, read(*one).canonical()) == ""
    assert pickle.loads(pickle.dumps(first)).canonical() == first.canonical()
    alike = stored == second.canonical()
    assert (difference(stored, second.canonical()) == "") == alike
    if first.finite and second.finite:  # slot k must stay combination k
        assert alike == same(points(first), points(second)) or first.conditions


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("a=interval(0,1)", "a=interval(0,2)", "a: interval(0.0,1.0) -> interval(0.0,2.0)"),
        ("a=interval(1,2)", "a=tag(log,interval(1,2))",
         "a: interval(1.0,2.0) -> tag(log,interval(1.0,2.0))"),
        ("a=int(interval(1,5))", "a=interval(1,5)",
         "a: int(interval(1,5)) -> interval(1.0,5.0)"),
        ("a=1,2", "a=2,1", "a: choice(1,2) -> choice(2,1)"),
        ("a=1,2", "a=1,'2'", "a: choice(1,2) -> choice(1,'2')"),
        ("a=range(1,6,2)", "a=range(1,6)", "a: range(1,5 included,2) -> range(1,5 included,1)"),
        ("a=range(1,3)", "a=range(2,0,-1)",
         "a: range(1,2 included,1) -> range(2,1 included,-1)"),
        ("a=1,2 b=1,2", "b=1,2 a=1,2", "order: a, b -> b, a"),
        ("a=1,2", "a=1,2 b=interval(0,1)", "b: new"),
        ("a=1,2 b=3,4", "b=3,4", "a: no longer swept"),
        ("a=interval(0,1) b=interval(0,1)", "b=interval(0,1) a=interval(0,1)", ""),
        ("+a=1,2", "++a=1,2", ""),
    ],
)  # fmt: skip
def test_a_difference_is_shown_in_hydras_grammar(before: str, after: str, shown: str) -> None:
    assert difference(read(*before.split()).canonical(), read(*after.split()).canonical()) == shown
