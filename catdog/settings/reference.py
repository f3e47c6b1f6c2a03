"""A description of every key of the configuration, for generated documentation and help."""

from __future__ import annotations

import ast
import inspect
import textwrap
import typing
from collections.abc import Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

from catdog.settings.conversion import type_text
from catdog.settings.groups import Settings, group_types
from catdog.settings.validation import options_text, range_text


@dataclass(frozen=True)
class KeyInfo:
    """One key of the configuration.

    Attributes:
        key: Full key, as on the command line: ``optimizer.lr``.
        type: Accepted type in words, as error messages write it: ``a number or null``.
        default: Default value as Python has it; a config file of the group may set another one.
        accepted: Options (``squash, crop, pad``) or bounds (``> 0 and <= 100``); may be empty.
        description: What the key means, in one sentence.
    """

    key: str
    type: str
    default: Any
    accepted: str
    description: str


def describe() -> list[KeyInfo]:
    """Describe every key of the configuration, in the order of the groups in ``Settings``.

    The descriptions are the string literals below the fields of the groups. They say "if unset"
    for what YAML writes as ``null`` and Python as ``None``.

    Returns:
        One entry per key; ``threads`` and ``seed`` come last.

    Example:
        >>> by_key = {info.key: info for info in describe()}
        >>> lr = by_key["optimizer.lr"]
        >>> lr.type, lr.default, lr.accepted
        ('a number', 0.001, '> 0 and <= 100')
        >>> lr.description
        'Learning rate; with a schedule, its highest value.'
    """
    groups = group_types()
    described = []
    for name, group in groups.items():
        described += _describe(group, fields(group), f"{name}.")  # type: ignore[arg-type]
    ungrouped = [item for item in fields(Settings) if item.name not in groups]
    return described + _describe(Settings, ungrouped, "")


def _describe(owner: type, items: Sequence[Field[Any]], prefix: str) -> list[KeyInfo]:
    hints, docs = typing.get_type_hints(owner), field_docs(owner)
    return [
        KeyInfo(
            key=prefix + item.name,
            type=type_text(hints[item.name]),
            default=_default(item),
            accepted=_accepted(item),
            description=docs.get(item.name, ""),
        )
        for item in items
    ]


def field_docs(owner: type) -> dict[str, str]:
    """Return the string literals that stand directly below the fields of a class.

    Args:
        owner: A class whose source can be read.

    Returns:
        Text by field, each on one line; fields without a literal are left out.

    Example:
        >>> from catdog.settings.training import Trainer
        >>> field_docs(Trainer)["epochs"]
        'Largest number of epochs in the first stage.'
    """
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    return {
        ast.unparse(statement.target): " ".join(str(following.value.value).split())
        for statement, following in zip(body, body[1:], strict=False)
        if isinstance(statement, ast.AnnAssign)
        and isinstance(following, ast.Expr)
        and isinstance(following.value, ast.Constant)
    }


def _default(item: Field[Any]) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


def _accepted(item: Field[Any]) -> str:
    options = item.metadata.get("options")
    return range_text(item.metadata) if options is None else options_text(options)
