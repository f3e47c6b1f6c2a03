"""Values as text that Hydra's grammar reads back as the same values."""

from __future__ import annotations

import re
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString, Transformer
from hydra.errors import HydraException

from optuna_workers.errors import SweepError
from optuna_workers.space.parameter import same

WORD = re.compile(r"(?!(null|true|false|nan|inf)$)[a-z_][\w/-]*", re.ASCII | re.IGNORECASE)
"""Strings that Hydra can only read as themselves."""


def meaning(item: Any) -> Any:
    """Return a parsed element as a plain value, its quotes taken off."""
    if isinstance(item, QuotedString):
        return item.text
    if isinstance(item, (list, tuple)):
        return [meaning(one) for one in item]
    if isinstance(item, dict):
        return {meaning(key): meaning(one) for key, one in item.items()}
    return item


def text_of(key: str, item: Any, parser: OverridesParser) -> str:
    """Return Hydra's text of an element, with quotes where it would be read as another value.

    Hydra drops the quotes of ``choice('1','2')``, and would replay numbers.

    Raises:
        SweepError: no text means the element.
    """
    text = str(Transformer.str(item))
    if not isinstance(item, (str, list, dict, QuotedString)):
        return text
    if isinstance(item, str) and WORD.fullmatch(item):
        return text
    for one in (text, str(Transformer.str(_with_quotes(item)))):
        try:
            read = parser.parse_override(f"_={one}")
        except HydraException:
            continue
        if not read.is_sweep_override() and same(read.value(), meaning(item)):
            return one
    raise SweepError(key, text, "Hydra's grammar has no text for this value", "a simpler value")


def quoted(text: str) -> str:
    r"""Return a text in quotes, so that Hydra reads nothing into it.

    Example:
        >>> print(quoted("it's 5 o'clock, ${now}"))
        'it\'s 5 o\'clock, ${now}'
    """
    return QuotedString(text, Quote.single).with_quotes()


def _with_quotes(item: Any) -> Any:
    """Return an element with quotes around every text in it."""
    if isinstance(item, str):
        return QuotedString(item, Quote.single)
    if isinstance(item, list):
        return [_with_quotes(one) for one in item]
    if isinstance(item, dict):
        return {key: _with_quotes(one) for key, one in item.items()}
    return item
