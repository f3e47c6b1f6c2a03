"""The result of a run, how long its stages took, and the exception of a pruned one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from catdog.evaluation.metrics import Scores
from catdog.training import fit


class Pruned(Exception):
    """The watcher ended the training. The run is logged up to there, with status FINISHED."""


@dataclass(frozen=True)
class Outcome:
    """The result of a run.

    Attributes:
        objective: Value of ``objective.metric`` in the best epoch.
        run_id: The run's id in MLflow.
        fitted: History and best epoch of the training.
        test: Scores on the test photos.
        suggestions: Learning rates that the LR range test suggests, by rule; empty if it was off
            or has none.
        seconds: Duration of each stage, and ``total``.
        parameters: Number of trained weights.
    """

    objective: float
    run_id: str
    fitted: fit.Fitted
    test: Scores
    suggestions: dict[str, float]
    seconds: dict[str, float]
    parameters: int


@dataclass
class Clock:
    """Measures the duration of a run's stages, in seconds.

    >>> clock = Clock()
    >>> with clock.stage("fit"):
    ...     pass
    >>> list(clock.seconds)
    ['fit']
    """

    seconds: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the duration of a ``with`` block to a stage."""
        start = time.perf_counter()
        yield
        spent = time.perf_counter() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + spent

    def total(self) -> float:
        """Return the seconds since the clock was made, or since ``started``."""
        return time.perf_counter() - self.started
