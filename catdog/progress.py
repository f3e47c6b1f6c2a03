"""How long work reports its progress: silent here, drawn by the console.

Rooms that compute take a ``Progress`` and never know who watches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[..., None]


class Progress:
    """The silent watcher; the command line's console derives from it."""

    @contextmanager
    def track(self, stage: str, total: int) -> Iterator[Advance]:
        """Yield ``advance(n, text="")`` for a stage of ``total`` steps."""
        yield lambda n=1, text="": None

    def note(self, message: str) -> None:
        """Say one line that a person waiting would want to know."""
