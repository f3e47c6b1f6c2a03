"""What a process keeps from one trial to the next, so that it is not made again.

A child of a sweep runs many trials that differ in a few numbers; the index of the photos, the
built backbone or the connection to MLflow are the same in all of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

T = TypeVar("T")

MOST_PER_KIND = 2
"""Values of one kind: a sweep over two heads swings between two prefixes; memory stays bounded."""


class Memo:
    """The last values of each kind, by what they were made from."""

    def __init__(self) -> None:
        self._values: dict[str, OrderedDict[Hashable, object]] = {}

    def get(self, kind: str, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of ``key``, made if it is not there; ``MOST_PER_KIND`` of a kind are kept.

        Args:
            kind: Name of what is kept.
            key: All that the value depends on.
            make: Makes it. An error passes, and nothing is kept.
        """
        values = self._values.setdefault(kind, OrderedDict())
        if key in values:
            values.move_to_end(key)
            return cast("T", values[key])
        while len(values) >= MOST_PER_KIND:
            values.popitem(last=False)  # before the next is made: both would need memory
        made = make()
        values[key] = made
        return made
