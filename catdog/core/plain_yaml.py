"""Reads small YAML files that others may have written: no aliases, no depth, no size."""

from __future__ import annotations

from typing import Any

import yaml

MOST_BYTES = 1 << 20
"""Size up to which a text is read: catdog's own have some kilobytes."""

DEEPEST = 20
"""Deepest nesting."""


class _Loader(yaml.SafeLoader):
    """Makes dictionaries, lists and scalars only, and of each what is written once."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):  # a few lines of them grow to gigabytes
            raise yaml.YAMLError("aliases (*name) are not read")
        if self._depth >= DEEPEST:
            raise yaml.YAMLError(f"it is nested more than {DEEPEST} deep")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def read(text: str) -> Any:
    r"""Return what a YAML text holds.

    Args:
        text: At most 1 MiB of it.

    Raises:
        ValueError: it is too long, too deep, has aliases, or is no YAML; the message says which.

    Example:
        >>> read("- seed=1")
        ['seed=1']
        >>> read("a: &x [1]\nb: [*x, *x]")
        Traceback (most recent call last):
        ValueError: aliases (*name) are not read
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"it is longer than {MOST_BYTES >> 20} MiB")
    try:
        return yaml.load(text, _Loader)  # a SafeLoader
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        reason = str(getattr(error, "problem", None) or error).splitlines()
        raise ValueError(reason[0] if reason else "it is no YAML") from None
