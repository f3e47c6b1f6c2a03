"""What is searched: fixed overrides, swept parameters, conditions."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from hydra_plugins.optuna_workers import _conditions
from hydra_plugins.optuna_workers._conditions import Conditions
from hydra_plugins.optuna_workers._errors import SweepError
from hydra_plugins.optuna_workers._overrides import Parameter, parse

EXAMPLES = 50
"""Most points that are composed before the first trial."""

ENUMERABLE = 200_000
"""Most combinations of a space with conditions, which are counted one by one."""


@dataclass(frozen=True)
class Space:
    """Everything a command line asks to try.

    Attributes:
        items: Fixed overrides as text and swept parameters, in the order of the command.
        conditions: Which keys are swept only at some points.
    """

    items: tuple[str | Parameter, ...]
    conditions: Conditions = field(default_factory=dict)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return what is swept."""
        return tuple(item for item in self.items if isinstance(item, Parameter))

    @cached_property
    def fixed(self) -> tuple[str, ...]:
        """Return what is not."""
        return tuple(item for item in self.items if isinstance(item, str))

    @property
    def finite(self) -> bool:
        """Return whether every swept key is a list or a range."""
        return all(parameter.texts for parameter in self.parameters)

    def __len__(self) -> int:
        """Return the number of different combinations of a finite space."""
        if self.conditions:
            return len(self._listed)
        return math.prod(len(parameter.texts) for parameter in self.parameters)

    def combination(self, k: int) -> dict[str, Any]:
        """Return the k-th combination, from 0, in Hydra's order: the last key changes first."""
        if self.conditions:
            return dict(self._listed[k])
        point = {}
        for parameter in reversed(self.parameters):
            k, place = divmod(k, len(parameter.texts))
            point[parameter.name] = parameter.values[place]
        return dict(reversed(point.items()))

    @cached_property
    def _listed(self) -> list[dict[str, Any]]:
        size = math.prod(len(parameter.texts) for parameter in self.parameters)
        if size > ENUMERABLE:
            raise SweepError(
                "hydra.sweeper.when", dict(self.conditions),
                f"{size} combinations are too many to count through", "hydra/sweeper/sampler=tpe",
            )  # fmt: skip
        points: dict[str, dict[str, Any]] = {}
        for values in itertools.product(*(p.values for p in self.parameters)):
            names = (parameter.name for parameter in self.parameters)
            point = self._active(dict(zip(names, values, strict=True)))
            points.setdefault(json.dumps(point, default=str), point)
        return list(points.values())

    def _active(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Leave out the keys whose conditions do not hold."""
        kept: dict[str, Any] = {}
        for parameter in _conditions.in_order(self.parameters, self.conditions):
            needed = self.conditions.get(parameter.name, {})
            if parameter.name in point and _conditions.holds(needed, kept):
                kept[parameter.name] = point[parameter.name]
        return {p.name: kept[p.name] for p in self.parameters if p.name in kept}

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Ask a trial for a value of every key that is swept at this point."""
        values: dict[str, Any] = {}
        for parameter in _conditions.in_order(self.parameters, self.conditions):
            if _conditions.holds(self.conditions.get(parameter.name, {}), values):
                values[parameter.name] = parameter.suggest(trial)
        return values

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """Return a point's overrides, fixed ones included, in the order of the command."""
        lines: list[str] = []
        for item in self.items:
            if isinstance(item, str):
                lines.append(item)
            elif item.name in values:
                lines.append(item.override(values[item.name]))
        return lines

    def examples(self) -> list[list[str]]:
        """Return some points' overrides, every choice and every conditional key among them."""
        shown = [self.overrides(point) for point in itertools.islice(self._points(), EXAMPLES)]
        return [list(lines) for lines in dict.fromkeys(map(tuple, shown))]

    def _points(self) -> Iterator[dict[str, Any]]:
        first = {p.name: p.values[0] if p.texts else p.low for p in self.parameters}
        yield self._active(first)
        for name, needed in self.conditions.items():
            yield self._active({**first, **self._enabling(name, needed)})
        for parameter in self.parameters:
            for value in parameter.values[1:]:
                needed = self.conditions.get(parameter.name, {})
                enabled = self._enabling(parameter.name, needed)
                yield self._active({**first, **enabled, parameter.name: value})

    def _enabling(self, name: str, needed: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
        point = {key: admitted[0] for key, admitted in needed.items()}
        for key in needed:
            point = {**self._enabling(key, self.conditions.get(key, {})), **point}
        return point

    def check(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Return a point of ``hydra.sweeper.enqueue`` as Optuna's values.

        Raises:
            SweepError: a key is not swept, or a value lies outside.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        values = {}
        for name, value in point.items():
            if name not in known:
                raise SweepError(
                    "hydra.sweeper.enqueue", f"{name}: {value}", "this key is not swept",
                    ", ".join(known),
                )  # fmt: skip
            values[name] = _inside(known[name], value)
        return self._active(values) if len(values) == len(known) else values

    def canonical(self) -> dict[str, Any]:
        """Return the space as JSON values: equal if and only if the same is searched."""
        swept = {parameter.name: parameter.canonical() for parameter in self.parameters}
        for name, needed in self.conditions.items():
            swept[name]["when"] = {key: [str(v) for v in values] for key, values in needed.items()}
        return swept


def _inside(parameter: Parameter, value: Any) -> Any:
    try:
        if parameter.kind == "choice":
            return parameter.choices[parameter.index(value)]
        number = int(value) if parameter.kind == "int" else float(value)
        if parameter.low <= number <= parameter.high:
            return number
    except (TypeError, ValueError):
        pass
    allowed = ", ".join(parameter.texts) or f"{parameter.low} to {parameter.high}"
    raise SweepError(
        "hydra.sweeper.enqueue", f"{parameter.name}: {value}", "outside of what is swept", allowed
    )


def read(
    arguments: list[str],
    params: Mapping[str, Any],
    when: Mapping[str, Any],
    parser: OverridesParser,
) -> Space:
    """Read a command's space.

    Args:
        arguments: The task's overrides.
        params: ``hydra.sweeper.params``; the command line wins over it.
        when: ``hydra.sweeper.when``.
        parser: Hydra's.

    Raises:
        SweepError: a sweep or a condition that cannot be.
        HydraException: text that is not in Hydra's grammar.
    """
    items = tuple(parse(arguments, params, parser))
    swept = tuple(item for item in items if isinstance(item, Parameter))
    return Space(items, _conditions.read(when, swept))


def difference(stored: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return what changed between two ``canonical()`` spaces; empty if nothing did."""
    changes = []
    for name in dict.fromkeys([*stored, *now]):
        if name not in now:
            changes.append(f"{name}: no longer swept")
        elif name not in stored:
            changes.append(f"{name}: new")
        elif stored[name] != now[name]:
            changes.append(f"{name}: {_shown(stored[name])} -> {_shown(now[name])}")
    return "; ".join(changes)


def _shown(known: Mapping[str, Any]) -> str:
    if known["kind"] == "choice":
        text = f"choice({', '.join(known['choices'])})"
    else:
        step = f", step {known['step']:g}" if known["step"] else ""
        text = f"{known['kind']} {known['low']:g} to {known['high']:g}{step}"
        text += " log" if known["log"] else ""
    when = known.get("when")
    return f"{text} when {json.dumps(when)}" if when else text
