"""Interfaces through which long work reports its progress; these base classes report nothing.

Functions that compute for long take a ``Progress``, and a run takes a ``Watcher``. The command
line and the trials of a search pass subclasses that show and report what they receive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

Advance = Callable[..., None]
"""``advance(n, text="")``: ``n`` more steps are done; ``text`` says what the last one was."""


class Progress:
    """Receives the progress of stages and ignores it; subclasses show it.

    Example:
        >>> class Printed(Progress):
        ...     def note(self, message: str) -> None:
        ...         print(message)
        >>> Printed().note("Checking 800 photos")
        Checking 800 photos
    """

    @contextmanager
    def track(self, stage: str, total: int) -> Iterator[Advance]:
        """Open a stage and yield the function that advances it.

        Args:
            stage: Name of the stage, as it is shown.
            total: Its number of steps.

        Yields:
            ``advance(n, text="")``, to be called after every ``n`` steps.
        """
        yield lambda n=1, text="": None

    def note(self, message: str) -> None:
        """Receive a message of one line for a user who waits."""


class Watcher:
    """Receives the events of a run and may end it early; this one ignores them."""

    def on_start(self, run_id: str, uri: str) -> None:
        """Receive the run's MLflow id and the address of its tracking store."""

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Receive the metrics of an epoch.

        Args:
            epoch: Number of the epoch, from 1, counted over both stages.
            metrics: ``train/loss``, ``train/accuracy``, ``val/loss``, ``val/accuracy`` and ``lr``.

        Returns:
            Whether to prune the run: it then ends after this epoch.
        """
        return False

    def on_objective(self, value: float) -> None:
        """Receive the run's objective; may raise if the value is unusable, such as NaN."""

    def end_tags(self, state: str) -> dict[str, str]:
        """Return the tags to set when the run ends.

        Args:
            state: ``COMPLETE``, ``PRUNED`` or ``FAIL``.
        """
        return {}
