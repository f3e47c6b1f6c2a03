"""Single points of a space: those composed beforehand, and those a person asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optuna_workers.errors import wrong_key
from optuna_workers.space.conditions import Conditions, holds, in_order
from optuna_workers.space.parameter import Parameter


def examples(parameters: Sequence[Parameter], conditions: Conditions) -> Iterator[dict[str, Any]]:
    """Yield the first point, one for each condition, then one for each other listed value."""
    first = {p.name: p.values[0] if p.listed else p.low for p in parameters}
    yield first
    for name in conditions:
        yield {**first, **_enabling(name, conditions)}
    for parameter in parameters:
        for value in parameter.values[1:]:
            yield {**first, **_enabling(parameter.name, conditions), parameter.name: value}


def _enabling(name: str, conditions: Conditions) -> dict[str, Any]:
    """Return values of other keys at which a key is swept."""
    needed = conditions.get(name, {})
    point = {key: admitted[0] for key, admitted in needed.items()}
    for key in needed:
        point = {**_enabling(key, conditions), **point}
    return point


def check(
    point: Mapping[str, Any], parameters: Sequence[Parameter], conditions: Conditions, key: str
) -> dict[str, Any]:
    """Return a point that a person names as Optuna's values.

    Args:
        point: Values by name, not necessarily of all that is swept.
        parameters: What is swept.
        conditions: Which of it is swept only at some points.
        key: Where below ``hydra.sweeper`` the point was named.

    Raises:
        SweepError: a key is not swept, or a value lies outside.
    """
    known = {parameter.name: parameter for parameter in parameters}
    values = {}
    for written, value in point.items():
        name = str(written).lstrip("+")
        if name not in known:
            swept = ", ".join(known) or "sweeping it"
            raise wrong_key(key, f"{name}: {value}", "this key is not swept", swept)
        values[name] = _inside(known[name], value, key)
    return _possible(values, parameters, conditions)


def _inside(parameter: Parameter, value: Any, key: str) -> Any:
    try:
        return parameter.find(value)
    except (TypeError, ValueError):
        allowed = ", ".join(parameter.texts) or f"{parameter.low} to {parameter.high}"
        shown = f"{parameter.name}: {value}"
        raise wrong_key(key, shown, "outside of what is swept", allowed) from None


def _possible(
    point: Mapping[str, Any], parameters: Sequence[Parameter], conditions: Conditions
) -> dict[str, Any]:
    """Leave out the keys whose conditions cannot hold, whatever the missing keys will be."""
    out: set[str] = set()
    for parameter in in_order(parameters, conditions):
        needed = conditions.get(parameter.name, {})
        given = {key: values for key, values in needed.items() if key in point}
        if out & needed.keys() or not holds(given, point):
            out.add(parameter.name)
    return {p.name: point[p.name] for p in parameters if p.name in point.keys() - out}
