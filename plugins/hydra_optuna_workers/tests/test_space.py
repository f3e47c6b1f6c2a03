"""What a command asks to try: read as Hydra reads it, counted once, compared with what was."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import optuna
import optuna_workers
import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna_workers.errors import SweepError
from optuna_workers.space import read as read_space
from optuna_workers.space.difference import difference
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


def test_fixed_overrides_keep_their_text_and_order() -> None:
    space = read("a=1", "b=x,y", "~c", "+d='q,r'", "++e={x:1}", "++e={y:2}", "f@g=h", "i=[1, 2]")
    assert space.fixed == ("a=1", "~c", "+d='q,r'", "++e={x:1}", "++e={y:2}", "f@g=h", "i=[1, 2]")
    assert space.overrides({"b": "y"})[:3] == ["a=1", "b=y", "~c"]


@pytest.mark.parametrize(
    ("params", "arguments", "examples"),
    [
        ({"a": "1,2"}, ["a=3,4"], ["a=3", "a=4"]),
        ({"a": "1,2"}, ["a=3"], ["a=3"]),
        ({"a": "3"}, ["a=1,2"], ["a=1", "a=2"]),
        ({"a": "1,2"}, ["+a=3"], ["+a=3"]),
        ({"a": "1,2"}, ["~a"], ["~a"]),
        ({"+a": "1,2"}, ["++a=3,4"], ["++a=3", "++a=4"]),
        ({}, ["a=1", "a=2,3"], ["a=2", "a=3"]),
        ({}, ["a=2,3", "a=1"], ["a=1"]),
        ({"a": [1, "b", None]}, [], ["a=1", "a=b", "a=null"]),
        ({"a": ["x"]}, [], ["a=x"]),
        ({"a": 3}, [], ["a=3"]),
        ({"a": None}, [], ["a=null"]),
        ({"a": True}, [], ["a=True"]),
        ({"a": "choice(x,y)"}, [], ["a=x", "a=y"]),
        ({"a": {"b": {"c": "1,2"}}}, [], ["a.b.c=1", "a.b.c=2"]),
        ({"~a": None}, [], ["~a"]),
    ],
)
def test_the_command_line_wins_over_params(
    params: dict[str, Any], arguments: list[str], examples: list[str]
) -> None:
    for given_as in (params, OmegaConf.create(params)):
        assert [lines for (lines,) in read(*arguments, params=given_as).examples()] == examples


def test_a_command_without_sweeps_is_one_point() -> None:
    space = read("a=1")
    assert (len(space), space.combination(0), space.finite) == (1, {}, True)
    assert space.overrides({}) == ["a=1"] and space.examples() == [["a=1"]]


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        (
            "a=interval(5,1)",
            r"a=interval\(5,1\): .* starts after its end; try interval\(1.0,5.0\)",
        ),
        ("a=interval(0,inf)", "two finite ends"),
        ("a=interval(nan,1)", "two finite ends"),
        ("a=tag(log,interval(0,1))", "starts above 0"),
        ("a=tag(log,int(interval(0,9)))", "starts above 0"),
        ("a=choice()", "empty choice"),
        ("a=range(3,1)", "nothing to choose from"),
        ("a=range(0,inf)", "finite"),
        ("a=range(1,5,0)", "steps"),
        ("a=range(0,1000000000)", r"int\(interval\(0,1000000000\)\)"),
        ("~a=1,2", "a deletion cannot be swept; try ~a"),
        ("hydra.verbose=true,false", "Hydra's configuration .* 'hydra.verbose=true,false'"),
        ("hydra/launcher=basic,joblib", "Hydra's configuration is not supported"),
        ("a={b:1", "."),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(argument: str, complaint: str) -> None:
    with pytest.raises(HydraException, match=complaint):
        read(argument)


def test_an_empty_list_in_params_is_refused() -> None:
    with pytest.raises(SweepError, match=r"a=\[\]: there is nothing to choose from"):
        read(params={"a": []})


@pytest.mark.parametrize("text", ["shuffle(a,b,c,d,e,f)", "shuffle(range(1,20))"])
def test_shuffle_has_one_order_everywhere(text: str) -> None:
    space, again, plain = read(f"a={text}"), read(f"a={text}"), read(f"a={text[8:-1]}")
    assert points(space) == points(again) != points(plain)
    assert sorted(map(str, points(space))) == sorted(map(str, points(plain)))
    for point in points(space):
        assert composed(space.overrides(point)) == point


@pytest.fixture
def groups(tmp_path: Path) -> Any:
    """Initialise Hydra with a group of three options; yield a parser that knows them."""
    (tmp_path / "opt").mkdir()
    for name in ("adam", "adamw", "sgd"):
        (tmp_path / "opt" / f"{name}.yaml").write_text(f"name: {name}\n")
    (tmp_path / "main.yaml").write_text("defaults: [opt: sgd, _self_]\nlist: []\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        yield OverridesParser.create(config_loader=hydra.config_loader)


def test_groups_are_globbed_and_composed(groups: OverridesParser) -> None:
    arguments = ["opt=glob(ad*)", "+opt@other=choice(sgd,adam)", "list=[1],[1,'2']", "+x=null,''"]
    space = read_space(arguments, {}, {}, groups)
    assert space.parameters[0].values == ("adam", "adamw")
    shown = [compose("main", space.overrides(point)) for point in points(space)]
    assert [(c.opt.name, c.other.name, list(c.list), c.x) for c in shown] == [
        (opt, other, listed, x)
        for opt in ("adam", "adamw")
        for other in ("sgd", "adam")
        for listed in ([1], [1, "2"])
        for x in (None, "")
    ]
    with pytest.raises(SweepError, match="nothing to choose from"):
        read_space(["opt=glob(q*)"], {}, {}, groups)


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
