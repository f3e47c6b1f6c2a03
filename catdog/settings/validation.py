"""A config group as a dataclass that checks its own fields: type, range, options."""

from __future__ import annotations

import operator
import typing
from collections.abc import Mapping
from dataclasses import MISSING, field, fields
from typing import Any, ClassVar

from catdog.errors import ConfigError
from catdog.settings.conversion import convert

BOUNDS = {
    "minimum": (">=", operator.ge),
    "above": (">", operator.gt),
    "maximum": ("<=", operator.le),
    "below": ("<", operator.lt),
}
"""What a bound in a field's metadata means: how a message writes it, and how it is tested."""


def number(default: Any, **bounds: float) -> Any:
    """Declare a numeric field of a group.

    Args:
        default: The default value; None where the type admits it.
        **bounds: ``minimum`` and ``maximum`` include their value, ``above`` and ``below`` do not.

    Returns:
        A dataclass field with the bounds in its metadata.
    """
    return field(default=default, metadata=bounds)


def one_of(*options: str | None) -> Any:
    """Declare a text field of a group that takes one of ``options``; the first is the default."""
    return field(default=options[0], metadata={"options": options})


class Group:
    """Base of the config groups: checks the type and range of every field on construction.

    Subclasses are frozen dataclasses. The string literal below a field describes its key:
    ``catdog.settings.describe`` reads it.

    Raises:
        ConfigError: a field has the wrong type or lies outside its range. The message has the
            full key, the value received, what is accepted and a fix.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Blur(Group):
        ...     key = "blur"
        ...     sd: float = number(0.8, above=0, maximum=1)
        >>> Blur(sd=1).sd
        1.0
        >>> Blur(sd=2)
        Traceback (most recent call last):
        catdog.errors.ConfigError: blur.sd=2.0: expected a value > 0 and <= 1; try `blur.sd=0.8`
    """

    key: ClassVar[str]
    """Name of the group, the part of its keys before the dot."""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for item in fields(self):  # type: ignore[arg-type]
            set_checked(self, f"{self.key}.{item.name}", item, hints[item.name])
        self.check()

    def check(self) -> None:
        """Check fields against each other."""

    def error(self, name: str, expected: str, fix: str = "") -> ConfigError:
        """Return the error for field ``name`` of this group, to be raised."""
        return ConfigError(f"{self.key}.{name}", getattr(self, name), expected, fix)


def set_checked(owner: Any, key: str, item: Any, hint: Any) -> None:
    """Convert a field of a frozen dataclass to its type and check its range.

    Args:
        owner: The dataclass, just constructed.
        key: Full key, for messages.
        item: The dataclass field; its metadata holds bounds or options.
        hint: The field's type.

    Raises:
        ConfigError: the value has another type or lies outside its range.
    """
    value = convert(key, getattr(owner, item.name), hint)
    object.__setattr__(owner, item.name, value)
    check_range(key, value, item.metadata, item.default)


def check_range(key: str, value: Any, bounds: Mapping[str, Any], default: Any) -> None:
    """Raise ConfigError if a value lies outside its bounds or options.

    Args:
        key: Full key, for the message.
        value: A value of the field's type; of None, text and lists only the options are checked.
        bounds: Limits by the names in ``BOUNDS``, or ``options``.
        default: Suggested as the fix, unless it is ``MISSING``.
    """
    fix = "" if default is MISSING else f"{key}={'null' if default is None else default}"
    options = bounds.get("options")
    if options is not None and value not in options:
        raise ConfigError(key, value, f"expected one of {options_text(options)}", fix)
    if value is None or isinstance(value, (str, list)):
        return
    if not all(BOUNDS[name][1](value, limit) for name, limit in bounds.items()):
        raise ConfigError(key, value, f"expected a value {range_text(bounds)}", fix)


def range_text(bounds: Mapping[str, Any]) -> str:
    """Write bounds as messages do.

    Example:
        >>> range_text({"minimum": 0, "below": 1})
        '>= 0 and < 1'
    """
    return " and ".join(f"{BOUNDS[name][0]} {bounds[name]}" for name in bounds if name in BOUNDS)


def options_text(options: tuple[str | None, ...]) -> str:
    """Write options as messages do, None as YAML's ``null``.

    Example:
        >>> options_text((None, "balanced"))
        'null, balanced'
    """
    return ", ".join("null" if option is None else option for option in options)
