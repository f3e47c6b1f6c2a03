"""What a command asks to try: read as Hydra reads it, counted once, compared with what was."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import optuna
import optuna_workers
import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna_workers.space.parameter import same

from tests.spaces import (
    ELEMENTS,
    INTERVALS,
    LISTS,
    PARSER,
    commands,
    composed,
    points,
    product,
    read,
)

Choice, Int, Float = CategoricalDistribution, IntDistribution, FloatDistribution


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        ("interval(1,5)", Float(1, 5)),
        ("int(interval(1,5))", Int(1, 5)),
        ("tag(log,interval(1e-5,0.1))", Float(1e-5, 0.1, log=True)),
        ("tag(log,int(interval(1,64)))", Int(1, 64, log=True)),
        ("int(tag(log,interval(1,64)))", Int(1, 64, log=True)),
        ("float(int(interval(1,5)))", Float(1, 5)),
        ("interval(2,2)", Float(2, 2)),
        ("range(1,4)", Int(1, 3)),
        ("range(1,9,3)", Int(1, 7, step=3)),
        ("range(5,0,-2)", Int(1, 5, step=2)),
        ("range(4)", Int(0, 3)),
        ("tag(log,range(1,9))", Int(1, 8, log=True)),
        ("tag(log,range(1,9,2))", Choice([1, 3, 5, 7])),
        ("range(7,8)", Choice([7])),
        ("range(0,1,0.25)", Float(0, 0.75, step=0.25)),
        ("range(0.1,0.5,0.1)", Float(0.1, 0.4, step=0.1)),
        ("range(0.5,0.1,-0.1)", Float(0.2, 0.5, step=0.1)),
        ("float(range(1,4))", Float(1, 3, step=1)),
        ("sort(range(5,1,-2))", Int(3, 5, step=2)),
        ("1,2", Choice([1, 2])),
        ("sort(3,1,2)", Choice([1, 2, 3])),
        ("choice(a,2,3.5,true)", Choice(["a", 2, 3.5, True])),
        ("null,false,x", Choice([None, False, "x"])),
        ("true,1,1.0", Choice(["True", "1", "1.0"])),
        ("nan,1", Choice(["nan", "1"])),
        ("[1,2],3", Choice(["[1,2]", "3"])),
        ("{a:1},{a:2}", Choice(["{a:1}", "{a:2}"])),
        ("'a,b',\"it's\"", Choice(["a,b", "it's"])),
        ("int(1.5,2.7)", Choice([1, 2])),
        ("str(1,2)", Choice(["1", "2"])),
        ("a,b,a,'b'", Choice(["a", "b"])),
    ],
)
def test_optuna_samples_what_was_written(text: str, distribution: Any) -> None:
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    read(f"key={text}").suggest(trial)
    found = trial.distributions["key"]
    assert found == distribution
    if isinstance(distribution, Choice):  # 1 == True, and equal to Optuna too
        assert all(map(same, found.choices, distribution.choices))


@pytest.mark.parametrize(
    ("texts", "replayed"),
    [
        ("choice('1','null',true)", ["'1'", "'null'", "True"]),  # Hydra would drop these quotes
        ("str(1,2)", ["'1'", "'2'"]),
        ("'1',\"2\"", ["'1'", '"2"']),
        ("a\\,b,c\\ d", ["a\\,b", "c\\ d"]),
        ("null,1e-3", ["null", "0.001"]),
        ("adam,sgd/fast", ["adam", "sgd/fast"]),
        ("range(0.1,0.5,0.1)", ["0.1", "0.2", "0.30000000000000004", "0.4"]),
    ],
)
def test_hydras_own_text_is_replayed(texts: str, replayed: list[str]) -> None:
    space = read(f"+new.key@here={texts}")
    lines = [space.overrides(point) for point in points(space)]
    assert lines == [[f"+new.key@here={text}"] for text in replayed]
    assert space.parameters[0].name == "new.key@here"


@given(st.lists(ELEMENTS, min_size=1, max_size=4))
def test_every_value_reaches_hydra_unchanged(values: list[Any]) -> None:
    space = read(params={"key": values})
    told = [composed(space.overrides(point))["key"] for point in points(space)]
    distinct = [v for k, v in enumerate(values) if not any(same(v, w) for w in values[:k])]
    assert len(told) == len(distinct) and all(map(same, told, distinct))


@given(st.floats(0, 1e300), st.floats(0, 1e300), st.data())
def test_every_sampled_number_reaches_hydra_unchanged(a: float, b: float, data: Any) -> None:
    space = read(f"key=interval({min(a, b)!r},{max(a, b)!r})")
    value = data.draw(st.floats(min(a, b), max(a, b)))
    assert same(composed(space.overrides({"key": value}))["key"], value)


@given(commands())
def test_enumeration_is_hydras(arguments: list[str]) -> None:
    hydras = BasicSweeper.split_arguments(PARSER.parse_overrides(arguments), None)[0]
    space = read(*arguments)
    ours = [space.overrides(point) for point in points(space)]
    assert len(ours) == len(hydras) == len(space)
    for mine, theirs in zip(ours, hydras, strict=True):
        assert same(composed(mine), composed(list(theirs)))


@given(commands())
def test_every_combination_comes_once(arguments: list[str]) -> None:
    space = read(*arguments)
    assert len({json.dumps(point) for point in points(space)}) == len(space)
    assert points(space) == list(product(space))
    for k in (-1, len(space)):
        with pytest.raises(IndexError):
            space.combination(k)


@given(commands(LISTS))
def test_a_combination_that_optuna_is_given_comes_back(arguments: list[str]) -> None:
    space = read(*arguments)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Optuna warns, and samples, where it finds a value outside
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        for point in points(space)[:10]:
            study.enqueue_trial(point)
            assert same(space.suggest(study.ask()), point)


@given(commands(LISTS | INTERVALS), st.integers(0, 99))
def test_what_optuna_samples_is_what_is_listed(arguments: list[str], seed: int) -> None:
    space = read(*arguments)
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
    values = space.suggest(trial)
    assert list(values) == [parameter.name for parameter in space.parameters]
    for parameter in space.parameters:
        value, known = values[parameter.name], trial.distributions[parameter.name]
        assert known._contains(known.to_internal_repr(value))
        if parameter.listed:
            assert any(same(value, known) for known in parameter.values)
    composed(space.overrides(values))
    assert same(space.check(values), values)


def test_reading_a_space_loads_no_optuna() -> None:
    code = (
        "import sys; import optuna_workers.space;"
        "print([m for m in ('optuna', 'numpy', 'sqlalchemy') if m in sys.modules])"
    )
    root = Path(optuna_workers.__file__).parents[1]
    asked = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert asked.stdout.strip() == "[]"
