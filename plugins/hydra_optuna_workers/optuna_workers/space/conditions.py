"""``when``: keys that are swept only where others have certain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import OmegaConf

from optuna_workers.errors import wrong_key
from optuna_workers.space.parameter import Parameter, same

Conditions = dict[str, dict[str, tuple[Any, ...]]]
"""Key to {key it depends on: the values that admit it}."""


@dataclass(frozen=True)
class Known:
    """What a condition may name.

    Attributes:
        swept: Parameters by name.
        pinned: Values of keys that the command fixes; a condition on one is decided at once.
        usual: What ``hydra.sweeper.params`` sweeps where the command line does not say otherwise:
            a command may narrow a list that conditions were written for.
    """

    swept: Mapping[str, Parameter]
    pinned: Mapping[str, Any] = field(default_factory=dict)
    usual: Mapping[str, Parameter] = field(default_factory=dict)


def read(when: Mapping[str, Any], known: Known) -> tuple[Conditions, frozenset[str]]:
    """Check and normalise ``hydra.sweeper.when``.

    Returns:
        The conditions on swept keys, and the keys that the command line rules out everywhere.

    Raises:
        SweepError: a key is not swept, a value is not among its choices, or keys depend on each
            other in a circle.
    """
    asked = OmegaConf.to_container(when, resolve=True) if OmegaConf.is_config(when) else when
    conditions: Conditions = {}
    out: set[str] = set()
    for name, needed in dict(asked).items():  # type: ignore[arg-type]
        name = str(name).lstrip("+")
        if not isinstance(needed, Mapping) or not needed:
            raise wrong_key(
                f"when.{name}", needed, "a condition is a mapping", f"{name}: {{key: [value]}}"
            )
        _require_named(name, f"{name}: {needed}", known)
        read_one = {str(key).lstrip("+"): values for key, values in needed.items()}
        admitted = {key: _admitted(name, key, values, known) for key, values in read_one.items()}
        if name in known.pinned:
            continue  # the command line has the last word
        out |= {name} if () in admitted.values() else set()
        swept = {key: values for key, values in admitted.items() if key not in known.pinned}
        conditions.update({name: swept} if swept else {})
    _require_no_circle(conditions)
    return _without(conditions, out), frozenset(out)


def _require_named(name: str, shown: str, known: Known) -> None:
    if name not in known.swept and name not in known.pinned:
        swept = ", ".join(known.swept) or "nothing"
        raise wrong_key(
            f"when.{name}",
            shown,
            f"{name} is not swept (swept: {swept})",
            "sweeping it, or no condition",
        )


def _admitted(name: str, key: str, values: Any, known: Known) -> tuple[Any, ...]:
    """Return the admitted values, in the choices' order; none where the command allows none."""
    _require_named(key, f"{key}: {values}", known)
    wanted = list(values) if isinstance(values, (list, tuple)) else [values]
    if not wanted:
        raise wrong_key(
            f"when.{name}", f"{key}: {values}", "no value admits it", f"{key}: [value]"
        )
    parameter = known.swept[key] if key in known.swept else _only(key, known.pinned[key])
    if not parameter.listed:
        raise wrong_key(
            f"when.{name}",
            key,
            f"{key} is an interval; conditions need a list",
            f"{key}=choice(...)",
        )
    usual = known.usual.get(key, parameter)
    fixed = key in known.pinned and key not in known.usual
    for one in wanted:
        if not fixed and not _found(parameter, one) and not _found(usual, one):
            texts = ", ".join(usual.texts)
            raise wrong_key(f"when.{name}", f"{key}: {one}", "not among its choices", texts)
    places = {parameter.place(parameter.find(one)) for one in wanted if _found(parameter, one)}
    return tuple(parameter.values[k] for k in sorted(places))


def _only(key: str, value: Any) -> Parameter:
    """Return a key with one choice."""
    return Parameter(key, key, "choice", (value,), (str(value),), (value,))


def _found(parameter: Parameter, written: Any) -> bool:
    try:
        parameter.find(written)
    except (TypeError, ValueError):
        return False
    return True


def _require_no_circle(conditions: Conditions) -> None:
    for start in conditions:
        seen: set[str] = set()
        todo = list(conditions[start])
        while todo:
            key = todo.pop()
            if key == start:
                raise wrong_key(
                    f"when.{start}", dict(conditions[start]),
                    "keys depend on each other in a circle", "dropping one of the conditions",
                )  # fmt: skip
            if key not in seen:
                seen.add(key)
                todo += conditions.get(key, {})


def _without(conditions: Conditions, out: set[str]) -> Conditions:
    """Leave out the keys ruled out, and add to them those that can only follow such a key."""
    while more := {k for k, needed in conditions.items() if k not in out and out & needed.keys()}:
        out |= more
    return {key: needed for key, needed in conditions.items() if key not in out}


def holds(needed: Mapping[str, tuple[Any, ...]], values: Mapping[str, Any]) -> bool:
    """Return whether a key is swept at a point; one that waits for an absent key is not."""
    return all(
        key in values and any(same(values[key], one) for one in admitted)
        for key, admitted in needed.items()
    )


def in_order(parameters: Sequence[Parameter], conditions: Conditions) -> list[Parameter]:
    """Return the parameters with every key after those that it depends on."""
    known = {parameter.name: parameter for parameter in parameters}
    ordered: dict[str, Parameter] = {}

    def place(name: str) -> None:
        for key in conditions.get(name, {}):
            place(key)
        ordered.setdefault(name, known[name])

    for parameter in parameters:
        place(parameter.name)
    return list(ordered.values())
