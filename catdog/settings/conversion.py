"""From a value as YAML or Python gives it to a field's type."""

from __future__ import annotations

import math
import types
import typing
from dataclasses import MISSING
from typing import Any

from catdog.errors import ConfigError

NAMES = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}
PLURALS = {str: "texts", int: "whole numbers", float: "numbers"}


def convert(key: str, value: Any, hint: Any) -> Any:
    """Convert a value to a field's type: whole floats to int, int to float, numbers to text.

    Args:
        key: Full key, for the message.
        value: A value as YAML or Python gives it.
        hint: ``str``, ``bool``, ``int``, ``float``, a list of one of them, or a union with None.

    Raises:
        ConfigError: the value does not fit the type.

    Example:
        >>> convert("trainer.epochs", 3.0, int)
        3
        >>> convert("data.path", 2024, str | None)
        '2024'
    """
    for option in _alternatives(hint):
        if (converted := _convert(value, option)) is not MISSING:
            return converted
    shown = repr(value) if isinstance(value, str) else value
    raise ConfigError(key, shown, f"expected {type_text(hint)}")


def type_text(hint: Any) -> str:
    """Write a field's type as messages do.

    Example:
        >>> type_text(float | None)
        'a number or null'
        >>> type_text(list[str])
        'a list of texts'
    """
    return " or ".join(_type_text(option) for option in _alternatives(hint))


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


def _convert(value: Any, kind: Any) -> Any:
    """Return the value as ``kind``, or ``MISSING`` if it does not fit."""
    if typing.get_origin(kind) is list:
        if not isinstance(value, (list, tuple)):
            return MISSING
        converted = [_convert(item, typing.get_args(kind)[0]) for item in value]
        return MISSING if any(item is MISSING for item in converted) else converted
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is float and is_number and math.isfinite(value):
        return float(value)
    if kind is int and is_number and float(value).is_integer():
        return int(value)
    if kind is str and is_number:
        return str(value)  # a folder or class called 2024 arrives as a number
    if kind in (str, bool, types.NoneType) and isinstance(value, kind):
        return value
    return MISSING


def _type_text(kind: Any) -> str:
    if kind is types.NoneType:
        return "null"
    if typing.get_origin(kind) is list:
        return f"a list of {PLURALS[typing.get_args(kind)[0]]}"
    return NAMES[kind]
