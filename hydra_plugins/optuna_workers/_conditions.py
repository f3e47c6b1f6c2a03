"""``when``: keys that are swept only where others have certain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from hydra_plugins.optuna_workers._errors import SweepError
from hydra_plugins.optuna_workers._overrides import Parameter

Conditions = dict[str, dict[str, tuple[Any, ...]]]
"""Key to {key it depends on: the values that admit it}."""


def read(when: Mapping[str, Any], parameters: tuple[Parameter, ...]) -> Conditions:
    """Check and normalise ``hydra.sweeper.when``.

    Raises:
        SweepError: a key is not swept, a value is not among its choices, or keys depend on each
            other in a circle.
    """
    known = {parameter.name: parameter for parameter in parameters}
    conditions: Conditions = {}
    for name, needed in _plain(when).items():
        _require_swept(name, f"{name}: {needed}", known)
        if not isinstance(needed, Mapping) or not needed:
            raise _wrong(name, needed, "a condition is a mapping", f"{name}: {{key: [value]}}")
        conditions[name] = {
            key: _admitted(name, key, values, known) for key, values in needed.items()
        }
    _require_no_circle(conditions)
    return conditions


def _plain(when: Any) -> dict[str, Any]:
    if isinstance(when, (DictConfig, ListConfig)):
        return OmegaConf.to_container(when, resolve=True)  # type: ignore[return-value]
    return dict(when)


def _wrong(name: str, found: Any, reason: str, fix: str) -> SweepError:
    return SweepError(f"hydra.sweeper.when.{name}", found, reason, fix)


def _require_swept(name: str, shown: str, known: Mapping[str, Parameter]) -> None:
    if name not in known:
        swept = ", ".join(known) or "nothing"
        raise _wrong(
            name, shown, f"{name} is not swept (swept: {swept})", "sweeping it, or no condition"
        )


def _admitted(name: str, key: str, values: Any, known: Mapping[str, Parameter]) -> tuple[Any, ...]:
    _require_swept(key, f"{key}: {values}", known)
    parameter = known[key]
    if not parameter.texts:
        raise _wrong(
            name, key, f"{key} is an interval; conditions need a list", f"{key}=choice(...)"
        )
    wanted = values if isinstance(values, (list, tuple)) else [values]
    return tuple(_match(name, parameter, value) for value in wanted)


def _match(name: str, parameter: Parameter, value: Any) -> Any:
    for choice, text in zip(parameter.values, parameter.texts, strict=True):
        same = type(choice) is type(value) and choice == value
        if same or str(value) == text or str(value) == str(choice):
            return choice
    raise _wrong(
        name, f"{parameter.name}: {value}", "not among its choices", ", ".join(parameter.texts)
    )


def _require_no_circle(conditions: Conditions) -> None:
    for start in conditions:
        seen, todo = set(), list(conditions[start])
        while todo:
            key = todo.pop()
            if key == start:
                raise _wrong(
                    start, dict(conditions[start]), "keys depend on each other in a circle",
                    "dropping one of the conditions",
                )  # fmt: skip
            if key not in seen:
                seen.add(key)
                todo += conditions.get(key, {})


def holds(needed: Mapping[str, tuple[Any, ...]], values: Mapping[str, Any]) -> bool:
    """Return whether a key is swept at a point; one that waits for an absent key is not."""
    return all(
        any(type(values[key]) is type(one) and values[key] == one for one in admitted)
        if key in values
        else False
        for key, admitted in needed.items()
    )


def in_order(parameters: tuple[Parameter, ...], conditions: Conditions) -> list[Parameter]:
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
