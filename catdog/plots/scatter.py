"""The trials of a study as points of learning rate and objective, laid out for both formats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from catdog.plots.style import spans_decade

OUTCOMES = ("complete", "pruned", "failed", "best")
"""How a trial is drawn, in drawing order: the best lies on top."""


@dataclass(frozen=True)
class Point:
    """A trial of a study.

    Attributes:
        number: Optuna's number of the trial.
        lr: Learning rate, above 0.
        value: Objective; of a pruned trial the last value that it reported; None without any.
        state: ``COMPLETE``, ``PRUNED`` or ``FAIL``.
        best: Whether it is the best trial of the study, or one of several.
        params: All swept values by key.

    Example:
        >>> Point(number=3, lr=1e-3, value=0.2, state="PRUNED").outcome
        'pruned'
    """

    number: int
    lr: float
    value: float | None
    state: str
    best: bool = False
    params: Mapping[str, object] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """One of ``OUTCOMES``."""
        ended = {"COMPLETE": "complete", "PRUNED": "pruned"}.get(self.state, "failed")
        return "best" if self.best else ended


@dataclass(frozen=True)
class Scatter:
    """All trials of a study with their place on the axes.

    Attributes:
        x: (low, high) of the learning rate axis, as exponents of ten.
        y: (low, high) of the objective axis; exponents of ten if ``log``.
        log: Whether the objective has a log axis.
        points: Trials by outcome, each with its height in the unit of ``y``. Trials without a
            value lie beyond the worst one.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    log: bool
    points: Mapping[str, Sequence[tuple[Point, float]]]


def place_trials(points: Sequence[Point], *, maximize: bool) -> Scatter:
    """Lay out the trials of a study.

    Args:
        points: The trials, at least one.
        maximize: Whether a larger objective is better.

    Returns:
        The bounds of both axes and the height of every trial.

    Example:
        >>> points = [Point(0, 1e-3, 0.2, "COMPLETE"), Point(1, 1e-1, None, "FAIL")]
        >>> scatter = place_trials(points, maximize=False)
        >>> scatter.points["complete"][0][1], scatter.points["failed"][0][1] > 0.2
        (0.2, True)
    """
    known = {p.number: p.value for p in points if p.value is not None and math.isfinite(p.value)}
    values = np.array(list(known.values()), float)
    log = spans_decade(values)
    shown = np.log10(values) if log else values
    low, high = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 1.0)
    margin = 0.08 * (high - low) or 0.1 * abs(high) or 0.1
    edge = low - 1.2 * margin if maximize else high + 1.2 * margin
    heights = dict(zip(known, shown.tolist(), strict=True))
    placed: dict[str, list[tuple[Point, float]]] = {outcome: [] for outcome in OUTCOMES}
    for point in points:
        placed[point.outcome].append((point, heights.get(point.number, edge)))
    y = (min(low, edge) - margin, max(high, edge) + margin)
    return Scatter(_lr_bounds(points), y, log, placed)


def _lr_bounds(points: Sequence[Point]) -> tuple[float, float]:
    exponents = np.log10([point.lr for point in points])
    low, high = float(exponents.min()), float(exponents.max())
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin
