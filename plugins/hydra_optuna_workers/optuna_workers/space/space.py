"""A search space: fixed overrides, swept parameters, conditions."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from optuna_workers.errors import SweepError
from optuna_workers.space import conditions
from optuna_workers.space.conditions import Conditions, Known, holds, in_order
from optuna_workers.space.difference import PLACE
from optuna_workers.space.overrides import parse
from optuna_workers.space.parameter import Parameter
from optuna_workers.space.points import check, examples

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

    Example:
        >>> space = read(["opt=adam,sgd", "momentum=0.5,0.9"], when={"momentum": {"opt": "sgd"}})
        >>> [space.combination(k) for k in range(len(space))]
        [{'opt': 'adam'}, {'opt': 'sgd', 'momentum': 0.5}, {'opt': 'sgd', 'momentum': 0.9}]
        >>> read(["lr=tag(log,interval(1e-5,1e-1))"]).finite
        False
    """

    items: tuple[str | Parameter, ...]
    conditions: Conditions = field(default_factory=dict)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return what is swept, in Hydra's order."""
        return tuple(item for item in self.items if isinstance(item, Parameter))

    @cached_property
    def fixed(self) -> tuple[str, ...]:
        """Return what is not, as it was written."""
        return tuple(item for item in self.items if isinstance(item, str))

    @property
    def finite(self) -> bool:
        """Return whether every swept key is a list or a range."""
        return all(parameter.listed for parameter in self.parameters)

    def __len__(self) -> int:
        """Return the number of different combinations of a finite space, 1 or more."""
        return len(self._listed) if self.conditions else self._product

    def __bool__(self) -> bool:
        """Return True: an endless space is not an empty one."""
        return True

    def combination(self, k: int) -> dict[str, Any]:
        """Return the k-th combination, from 0, in Hydra's order: the last key changes first.

        Raises:
            IndexError: there are fewer.
        """
        if not 0 <= k < len(self):
            raise IndexError(f"combination {k} of {len(self)}")
        if self.conditions:
            return dict(self._listed[k])
        point = {}
        for parameter in reversed(self.parameters):
            k, place = divmod(k, len(parameter.values))
            point[parameter.name] = parameter.values[place]
        return dict(reversed(point.items()))

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Ask a trial for a value of every key that is swept at this point."""
        values: dict[str, Any] = {}
        for parameter in self._ordered:
            if holds(self.conditions.get(parameter.name, {}), values):
                values[parameter.name] = parameter.suggest(trial)
        return {p.name: values[p.name] for p in self.parameters if p.name in values}

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
        points = itertools.islice(examples(self.parameters, self.conditions), EXAMPLES)
        shown = [self.overrides(self._active(point)) for point in points]
        return [list(lines) for lines in dict.fromkeys(map(tuple, shown))]

    def check(self, point: Mapping[str, Any], key: str = "enqueue") -> dict[str, Any]:
        """Return a point that a person names, below ``hydra.sweeper``, as Optuna's values.

        Keys that are not swept where the point lies are left out; those it does not name are
        sampled.

        Raises:
            SweepError: a key is not swept, or a value lies outside.
        """
        return check(point, self.parameters, self.conditions, key)

    def canonical(self) -> dict[str, Any]:
        """Return the space as JSON values: equal if and only if the same is searched."""
        swept = {parameter.name: parameter for parameter in self.parameters}
        known = {}
        for k, (name, parameter) in enumerate(swept.items()):
            known[name] = parameter.canonical() | ({PLACE: k} if self.finite else {})
            if needed := self.conditions.get(name):
                known[name]["when"] = {
                    key: [swept[key].texts[swept[key].place(value)] for value in needed[key]]
                    for key in sorted(needed)
                }
        return known

    @property
    def _product(self) -> int:
        return math.prod(len(parameter.texts) for parameter in self.parameters)

    @cached_property
    def _listed(self) -> list[dict[str, Any]]:
        if self._product > ENUMERABLE:
            raise SweepError(
                "hydra.sweeper.when", dict(self.conditions),
                f"{self._product} combinations are too many to enumerate",
                "hydra/sweeper/sampler=tpe",
            )  # fmt: skip
        names = [parameter.name for parameter in self.parameters]
        points: dict[str, dict[str, Any]] = {}
        for values in itertools.product(*(p.values for p in self.parameters)):
            point = self._active(dict(zip(names, values, strict=True)))
            points.setdefault(json.dumps(point), point)
        return list(points.values())

    @cached_property
    def _ordered(self) -> list[Parameter]:
        return in_order(self.parameters, self.conditions)

    def _active(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Leave out the keys whose conditions do not hold, or hang on a key that is not given."""
        kept: dict[str, Any] = {}
        for parameter in self._ordered:
            needed = self.conditions.get(parameter.name, {})
            if parameter.name in point and holds(needed, kept):
                kept[parameter.name] = point[parameter.name]
        return {p.name: kept[p.name] for p in self.parameters if p.name in kept}


def read(
    arguments: Sequence[str],
    params: Mapping[str, Any] | None = None,
    when: Mapping[str, Any] | None = None,
    parser: OverridesParser | None = None,
) -> Space:
    """Read a command's space.

    Args:
        arguments: The task's overrides.
        params: ``hydra.sweeper.params``; the command line wins over it.
        when: ``hydra.sweeper.when``.
        parser: Hydra's, with a config loader where ``glob`` is used; None makes one without.

    Returns:
        What is fixed, what is swept, and under which conditions.

    Raises:
        SweepError: a sweep or a condition that cannot be.
        HydraException: text that is not in Hydra's grammar.

    Example:
        >>> space = read(["lr=1e-3,1e-2", "layers=range(1,4)", "seed=7"])
        >>> len(space), space.fixed
        (6, ('seed=7',))
        >>> space.overrides(space.combination(4))
        ['lr=0.01', 'layers=2', 'seed=7']
    """
    parser = parser or OverridesParser.create()
    items = parse(arguments, params or {}, parser)
    if not when:
        return Space(tuple(items))
    swept = {item.name: item for item in items if isinstance(item, Parameter)}
    fixed = parser.parse_overrides([item for item in items if isinstance(item, str)])
    pinned = {o.get_key_element().lstrip("+"): o.value() for o in fixed if not o.is_delete()}
    usual = {p.name: p for p in parse([], params or {}, parser) if isinstance(p, Parameter)}
    needed, out = conditions.read(when, Known(swept, pinned, usual))
    left = [item for item in items if isinstance(item, str) or item.name not in out]
    return Space(tuple(left), needed)
