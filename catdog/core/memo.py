"""A small cache in memory, for values that the trials of one process share.

A worker process of a sweep runs many trials that differ in a few numbers. The index of the photos,
the built backbone and the connection to MLflow are the same in all of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

T = TypeVar("T")

MOST_PER_KIND = 2
"""Largest number of values of one kind: enough for a sweep that alternates between two heads."""


class Memo:
    """The most recently used values of each kind, by what they were made from.

    Example:
        >>> memo = Memo()
        >>> memo.get("square", 3, lambda: 3 * 3)
        9
        >>> memo.get("square", 3, lambda: 1 / 0)
        9
    """

    def __init__(self) -> None:
        self._values: dict[str, OrderedDict[Hashable, object]] = {}

    def get(self, kind: str, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of ``key``; make it if it is not kept.

        Args:
            kind: Name of what is kept, such as ``manifest``.
            key: Everything that the value depends on.
            make: Makes the value. Its errors pass through, and nothing is kept then.

        Returns:
            The value; of each kind the last ``MOST_PER_KIND`` used are kept.
        """
        values = self._values.setdefault(kind, OrderedDict())
        if key in values:
            values.move_to_end(key)
            return cast("T", values[key])
        while len(values) >= MOST_PER_KIND:
            values.popitem(last=False)  # before the next is made, so that both never need memory
        made = make()
        values[key] = made
        return made
