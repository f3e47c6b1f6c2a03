"""Spaces for tests: read from a command, or drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import strategies as st
from optuna_workers.space import Space
from optuna_workers.space import read as read_space

PARSER = OverridesParser.create()


def read(*arguments: str, params: Any = None, when: Any = None) -> Space:
    return read_space(list(arguments), params or {}, when or {}, PARSER)


def points(space: Space) -> list[dict[str, Any]]:
    return [space.combination(k) for k in range(len(space))]


def composed(lines: list[str]) -> dict[str, Any]:
    """Return the values that Hydra reads from overrides, none of which may still be a sweep."""
    parsed = PARSER.parse_overrides(lines)
    assert not any(override.is_sweep_override() for override in parsed), lines
    return {override.get_key_element(): override.value() for override in parsed}


ANY_TEXT = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=8)
TRAPS = st.sampled_from(
    ["null", "true", "False", "nan", "inf", "1", "1.0", "1e3", "1_0", "-1", "+1", ".5", "0x10", "",
     " ", " a ", "a b", "\t", "a,b", "it's", '"q"', "'1'", "a\\", "{a:1}", "[1]", "a=b", "a:b",
     "choice(1,2)", "interval(0,1)", "glob(*)", "*", "${b}", "~", "a#b", "ä", "/x.z", "???", "\\'"]
)  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
ELEMENTS = st.recursive(
    SCALARS | TRAPS | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip

LISTS = st.sampled_from(
    ["a,b,c", "1,2", "true,false", "null,x", "'1',1", "choice(x,y,z)", "range(1,4)", "[1],[2]",
     "range(5,0,-2)", "range(0,0.3,0.1)", "range(1,0.75,-0.05)", "sort(3,1,2)", "1,1.0,true"]
)  # fmt: skip
INTERVALS = st.sampled_from(["interval(0,1)", "tag(log,interval(1e-5,1))", "int(interval(1,9))"])


@st.composite
def commands(draw: st.DrawFn, values: st.SearchStrategy[str] = LISTS) -> list[str]:
    """Draw the arguments of a command that sweeps some keys and fixes others."""
    names = draw(st.lists(st.sampled_from("abcd"), unique=True, max_size=4))
    return [f"{name}={draw(values | st.just('fixed'))}" for name in names]


@st.composite
def conditional(draw: st.DrawFn, values: st.SearchStrategy[str] = LISTS) -> Space:
    """Draw a space with conditions on earlier or later keys, never in a circle."""
    arguments = [f"{name}={draw(values)}" for name in "abcd"[: draw(st.integers(1, 4))]]
    known = {p.name: p for p in read(*arguments).parameters}
    order = draw(st.permutations(list(known)))
    when: dict[str, dict[str, Any]] = {}
    for k, name in enumerate(order):
        listed = [other for other in order[:k] if known[other].listed]
        for other in draw(st.lists(st.sampled_from(listed), unique=True)) if listed else []:
            admitted = draw(st.lists(st.sampled_from(known[other].meanings), min_size=1))
            when.setdefault(name, {})[other] = admitted
    return read(*arguments, when=when)


def product(space: Space) -> Iterator[dict[str, Any]]:
    """Yield every point of a space without conditions, the last key changing first."""
    todo: list[dict[str, Any]] = [{}]
    for parameter in space.parameters:
        todo = [{**point, parameter.name: value} for point in todo for value in parameter.values]
    yield from todo
