"""Points: those that are enqueued, and examples that show every choice."""

from __future__ import annotations

from typing import Any

import pytest
from optuna_workers.errors import SweepError
from optuna_workers.space.parameter import same

from tests.spaces import (
    read,
)


@pytest.mark.parametrize(
    ("arguments", "point", "values"),
    [
        (["a=1,2"], {"a": 2}, {"a": 2}),
        (["a=1,2"], {"a": "2"}, {"a": 2}),
        (["a=1.0,2.0"], {"a": 2}, {"a": 2.0}),
        (["a=1,1.0,true"], {"a": True}, {"a": "True"}),
        (["a=1,1.0,true"], {"a": 1.0}, {"a": "1.0"}),
        (["a=x,null"], {"a": None}, {"a": None}),
        (["a=[1,'b'],c"], {"a": [1, "b"]}, {"a": "[1,'b']"}),
        (["a=interval(0,1)", "+b=1,2"], {"+b": 1}, {"b": 1}),
        (["a=interval(0,1)"], {"a": "1e-3"}, {"a": 1e-3}),
        (["a=int(interval(0,9))"], {"a": 3.0}, {"a": 3}),
        (["a=range(1,9,2)"], {"a": 3}, {"a": 3}),
        (["a=range(0.1,0.5,0.1)"], {"a": 0.1 + 0.2}, {"a": 0.3}),
    ],
)
def test_an_enqueued_point_becomes_optunas_values(
    arguments: list[str], point: dict[str, Any], values: dict[str, Any]
) -> None:
    assert same(read(*arguments).check(point), values)


@pytest.mark.parametrize(
    ("argument", "point"),
    [
        ("a=1,2", {"a": 3}),
        ("a=1,2", {"a": True}),
        ("a=1,2", {"b": 1}),
        ("a=interval(0,1)", {"a": 1.1}),
        ("a=interval(0,1)", {"a": float("nan")}),
        ("a=interval(0,1)", {"a": True}),
        ("a=interval(0,1)", {"a": None}),
        ("a=interval(0,1)", {"a": "x"}),
        ("a=int(interval(0,9))", {"a": 1.5}),
        ("a=int(interval(0,9))", {"a": float("inf")}),
        ("a=range(1,9,2)", {"a": 4}),
        ("a=range(0.1,0.5,0.1)", {"a": 0.15}),
    ],
)
def test_an_enqueued_point_outside_is_refused(argument: str, point: dict[str, Any]) -> None:
    with pytest.raises(SweepError, match=r"hydra\.sweeper\.enqueue=[ab]: .*; try "):
        read(argument).check(point)


def test_an_example_shows_every_choice() -> None:
    space = read("a=x,y,z", "b=1,2", "c=interval(0,1)", "d=fixed")
    lines = [line for example in space.examples() for line in example]
    assert {"a=x", "a=y", "a=z", "b=1", "b=2", "c=0.0", "d=fixed"} == set(lines)
    assert len(read("a=range(0,1000)").examples()) == 50
