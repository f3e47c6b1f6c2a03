"""``when``: keys that are swept only where others have certain values."""

from __future__ import annotations

import json
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from optuna_workers.errors import SweepError
from optuna_workers.space import Space
from optuna_workers.space.difference import difference
from optuna_workers.space.parameter import same

from tests.spaces import INTERVALS, LISTS, conditional, points, product, read

SWEEP = ("optimizer=adam,sgd,rmsprop", "momentum=0.5,0.9", "nesterov=true,false")
WHEN = {"momentum": {"optimizer": ["sgd", "rmsprop"]}, "nesterov": {"momentum": 0.9}}


def active(space: Space, point: dict[str, Any]) -> dict[str, Any]:
    """Drop keys until every condition of those left holds: another way to the same end."""
    left = dict(point)
    while lost := [
        name
        for name, needed in space.conditions.items()
        if name in left
        for key, admitted in needed.items()
        if key not in left or not any(same(left[key], value) for value in admitted)
    ]:
        for name in lost:
            left.pop(name, None)
    return left


def test_combinations_that_differ_only_in_absent_keys_are_one() -> None:
    space = read(*SWEEP, when=WHEN)
    shown = [" ".join(line.split("=")[1] for line in space.overrides(p)) for p in points(space)]
    assert shown == [
        "adam", "sgd 0.5", "sgd 0.9 True", "sgd 0.9 False",
        "rmsprop 0.5", "rmsprop 0.9 True", "rmsprop 0.9 False",
    ]  # fmt: skip


@given(conditional())
def test_every_active_combination_comes_once_in_hydras_order(space: Space) -> None:
    wanted = {json.dumps(p): p for p in (active(space, point) for point in product(space))}
    assert same(points(space), list(wanted.values()))


@given(conditional(LISTS | INTERVALS), st.integers(0, 99))
def test_a_sampled_point_meets_its_conditions(space: Space, seed: int) -> None:
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
    values = space.suggest(trial)
    assert set(values) == set(trial.params)
    assert active(space, values) == values
    absent = {p.name for p in space.parameters} - set(values)
    for name in absent:
        assert name not in active(space, {**values, name: "any"})
    assert same(space.check(values), values)


@given(conditional(LISTS | INTERVALS))
def test_examples_show_every_conditional_key(space: Space) -> None:
    examples = space.examples()
    if space.finite:
        reachable = {line for point in points(space) for line in space.overrides(point)}
        assert {line for lines in examples for line in lines} <= reachable
        assert examples[0] == space.overrides(space.combination(0))
    for name, needed in space.conditions.items():
        alone = all(key not in space.conditions for key in needed)
        assert not alone or any(
            line.startswith(f"{name}=") for lines in examples for line in lines
        )


@given(conditional(LISTS | INTERVALS), conditional(LISTS | INTERVALS))
def test_conditions_are_part_of_the_space(one: Space, other: Space) -> None:
    stored = json.loads(json.dumps(one.canonical()))
    assert difference(stored, one.canonical()) == ""
    alike = same([p.values for p in one.parameters], [p.values for p in other.parameters])
    if alike and one.finite and points(one) != points(other):
        assert difference(stored, other.canonical())
    if one.parameters == other.parameters:
        assert (difference(stored, other.canonical()) == "") == (
            one.conditions == other.conditions
        )


def test_a_changed_condition_is_shown() -> None:
    before, after = read(*SWEEP, when=WHEN), read(*SWEEP, when={"momentum": {"optimizer": "sgd"}})
    assert difference(before.canonical(), after.canonical()) == (
        "momentum: choice(0.5,0.9) when optimizer=sgd|rmsprop -> "
        "choice(0.5,0.9) when optimizer=sgd; "
        "nesterov: choice(True,False) when momentum=0.9 -> choice(True,False)"
    )


@pytest.mark.parametrize(
    "when",
    [
        {"momentum": {"optimizer": ["rmsprop", "sgd", "sgd"]}, "nesterov": {"momentum": "0.9"}},
        {"+momentum": {"optimizer": ("sgd", "rmsprop")}, "nesterov": {"+momentum": [0.9]}},
        OmegaConf.create(WHEN),
    ],
)
def test_one_condition_is_written_in_many_ways(when: Any) -> None:
    assert read(*SWEEP, when=when).canonical() == read(*SWEEP, when=WHEN).canonical()


def test_values_that_optuna_confuses_are_kept_apart() -> None:
    space = read("a=1,1.0,true", "b=x,y", when={"b": {"a": 1.0}})
    assert points(space) == [
        {"a": "1"},
        {"a": "1.0", "b": "x"},
        {"a": "1.0", "b": "y"},
        {"a": "True"},
    ]


@pytest.mark.parametrize(
    ("when", "complaint"),
    [
        ({"mometnum": {"optimizer": "sgd"}}, "mometnum is not swept .swept: optimizer, lr"),
        ({"momentum": {"optimiser": "sgd"}}, "optimiser is not swept"),
        ({"momentum": {"optimizer": "sdg"}}, "not among its choices; try adam, sgd"),
        ({"momentum": {"optimizer": ["sgd", "sdg"]}}, "sdg: not among its choices"),
        ({"momentum": {"lr": 0.5}}, "lr is an interval"),
        ({"momentum": {"optimizer": []}}, "no value admits it"),
        ({"momentum": {}}, "a condition is a mapping"),
        ({"momentum": "sgd"}, "a condition is a mapping"),
        ({"optimizer": {"optimizer": "sgd"}}, "in a circle"),
        ({"momentum": {"optimizer": "sgd"}, "optimizer": {"momentum": 0.9}}, "in a circle"),
    ],
)  # fmt: skip
def test_a_condition_that_cannot_be_is_refused(when: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SweepError, match=rf"^hydra\.sweeper\.when\..*{complaint}"):
        read("optimizer=adam,sgd", "lr=interval(0,1)", "momentum=0.5,0.9", when=when)


@pytest.mark.parametrize(
    ("arguments", "swept"),
    [
        (["optimizer=adam"], []),  # nesterov hangs on momentum, which adam has not
        (["optimizer=sgd"], ["momentum", "nesterov"]),
        (["optimizer='sgd'"], ["momentum", "nesterov"]),
        (["momentum=0.9"], ["optimizer", "nesterov"]),
        (["momentum=0.5"], ["optimizer"]),
        (["optimizer=adam", "momentum=0.9"], ["nesterov"]),
        (["nesterov=true"], ["optimizer", "momentum"]),
        (["optimizer=sgd,adam"], ["optimizer", "momentum", "nesterov"]),
    ],
)
def test_a_key_fixed_on_the_command_line_decides_its_conditions(
    arguments: list[str], swept: list[str]
) -> None:
    params = dict(line.split("=") for line in SWEEP)
    space = read(*arguments, params=params, when=WHEN)
    assert [parameter.name for parameter in space.parameters] == swept
    assert all(key in swept for needed in space.conditions.values() for key in needed)
    assert set(arguments) - {line for line in arguments if "," in line} <= set(space.fixed)


@pytest.mark.parametrize(
    ("optimizers", "momenta"),
    [("sgd,adam", 2), ("adam,lion", 0), ("rmsprop,sgd", 4), ("sgd,lion", 2)],
)
def test_a_command_may_narrow_what_conditions_were_written_for(
    optimizers: str, momenta: int
) -> None:
    params = dict(line.split("=") for line in SWEEP[:2])
    space = read(f"optimizer={optimizers}", params=params, when={"momentum": WHEN["momentum"]})
    assert sum("momentum" in point for point in points(space)) == momenta


@pytest.mark.parametrize("argument", ["optimizer=adam,sgd", "optimizer=adam"])
def test_a_wrong_word_in_a_condition_is_refused_on_a_narrowed_command(argument: str) -> None:
    params = dict(line.split("=") for line in SWEEP[:2])
    with pytest.raises(SweepError, match="sdg: not among its choices; try adam, sgd, rmsprop"):
        read(argument, params=params, when={"momentum": {"optimizer": "sdg"}})


def test_too_many_combinations_under_conditions_are_refused() -> None:
    space = read("a=range(0,1000)", "b=range(0,1000)", when={"b": {"a": 1}})
    with pytest.raises(SweepError, match="1000000 combinations are too many"):
        len(space)


@pytest.mark.parametrize(
    ("point", "kept"),
    [
        ({"optimizer": "adam", "momentum": 0.9}, {"optimizer": "adam"}),
        ({"optimizer": "adam", "nesterov": True}, {"optimizer": "adam"}),
        ({"momentum": 0.9}, {"momentum": 0.9}),  # whether it is used, the sampled optimizer says
        ({"momentum": 0.5, "nesterov": True}, {"momentum": 0.5}),
        ({"optimizer": "sgd", "momentum": 0.9}, {"optimizer": "sgd", "momentum": 0.9}),
    ],
)
def test_an_enqueued_point_leaves_out_what_is_not_swept_there(
    point: dict[str, Any], kept: dict[str, Any]
) -> None:
    assert read(*SWEEP, when=WHEN).check(point) == kept
