"""A config group as a dataclass that checks its own fields: type, range, options.

Every room's settings are such sections; what they hold is in settings.py.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, field, fields
from typing import Any, ClassVar

from catdog.errors import ConfigError


def number(default: Any, **bounds: float) -> Any:
    """Declare a numeric field with ``above``, ``below``, ``least`` or ``most`` bounds."""
    return field(default=default, metadata=bounds)


def one_of(*options: str) -> Any:
    """Declare a text field that takes one of ``options``; the first is the default."""
    return field(default=options[0], metadata={"options": options})


class Section:
    """Base of the groups: checks every field's type and range when it is built.

    Raises:
        ConfigError: names the full key, the value found, what is accepted and a fix.
    """

    key: ClassVar[str]

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for item in fields(self):  # type: ignore[arg-type]
            value = fit_type(f"{self.key}.{item.name}", getattr(self, item.name), hints[item.name])
            object.__setattr__(self, item.name, value)
            check_range(f"{self.key}.{item.name}", value, item.metadata, item.default)
        self.check()

    def check(self) -> None:
        """Check fields against each other."""

    def refuse(self, name: str, expected: str, fix: str = "") -> ConfigError:
        """Return the error for field ``name`` of this group."""
        return ConfigError(f"{self.key}.{name}", getattr(self, name), expected, fix)


def check_range(key: str, value: Any, bounds: Mapping[str, Any], default: Any) -> None:
    """Raise ConfigError if a value lies outside its bounds or options."""
    fix = "" if default is MISSING else f"{key}={'null' if default is None else default}"
    options = bounds.get("options")
    if options is not None and value not in options:
        shown = ", ".join("null" if option is None else str(option) for option in options)
        raise ConfigError(key, value, f"expected one of {shown}", fix)
    if value is None or isinstance(value, (str, list)):
        return
    wanted = {
        "above": ("> {}", value > bounds.get("above", -math.inf)),
        "least": (">= {}", value >= bounds.get("least", -math.inf)),
        "below": ("< {}", value < bounds.get("below", math.inf)),
        "most": ("<= {}", value <= bounds.get("most", math.inf)),
    }
    if not all(wanted[name][1] for name in bounds if name in wanted):
        text = " and ".join(wanted[name][0].format(bounds[name]) for name in bounds)
        raise ConfigError(key, value, f"expected a value {text}", fix)


def fit_type(key: str, value: Any, hint: Any) -> Any:
    """Return ``value`` as the field's type; whole floats are fine for int, ints for float."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        if (fitted := _fit(value, option)) is not MISSING:
            return fitted
    names = " or ".join(_name(option) for option in options)
    raise ConfigError(key, repr(value) if isinstance(value, str) else value, f"expected {names}")


def _fit(value: Any, kind: Any) -> Any:
    if typing.get_origin(kind) is list:
        if not isinstance(value, (list, tuple)):
            return MISSING
        fitted = [_fit(item, typing.get_args(kind)[0]) for item in value]
        return MISSING if any(item is MISSING for item in fitted) else fitted
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is float and is_number and math.isfinite(value):
        return float(value)
    if kind is int and is_number and float(value).is_integer():
        return int(value)
    if kind is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)  # a folder or class called 2024 arrives as a number
    if kind in (str, bool, types.NoneType) and isinstance(value, kind):
        return value
    return MISSING


def _name(kind: Any) -> str:
    if kind is types.NoneType:
        return "null"
    if typing.get_origin(kind) is list:
        return f"a list of {typing.get_args(kind)[0].__name__}"
    return {str: "text", bool: "true or false", int: "a whole number", float: "a number"}[kind]
