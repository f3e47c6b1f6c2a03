"""Which overrides are swept, which win, and which cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from optuna_workers.errors import SweepError
from optuna_workers.space import read as read_space

from tests.spaces import (
    composed,
    points,
    read,
)


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
