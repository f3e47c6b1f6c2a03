"""How long work reports its progress: silent here, drawn by the console.

Rooms that compute take a ``Progress`` and a run takes a ``Watcher``; neither knows who watches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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


class Watcher:
    """Hears how a run goes and may end it early; a sweep's trial derives from it."""

    def on_start(self, run_id: str, uri: str) -> None:
        """Learn the run's id in MLflow and its store."""

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Hear of an epoch (from 1); return True to give the training up."""
        return False

    def on_objective(self, value: float) -> None:
        """Hear of the run's result; may raise if it is none."""

    def end_tags(self, state: str) -> dict[str, str]:
        """Return the run's last tags; ``state`` is ``COMPLETE``, ``PRUNED`` or ``FAIL``."""
        return {}
