"""What a picture and its page share: colours, bounds, texts and marks, as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

STYLE = {
    "ink": "#2b2f36",
    "muted": "#68707c",
    "grid": "#e6e8ec",
    "empty": "#f4f5f7",
    "main": "#3a6ea5",
    "faint": "#b4c7dc",
    "wrong": "#cf7a2c",
    "valley": "#3f8a5c",
    "steep": "#c4642a",
    "minimum": "#7d5ba6",
    "train": "#8d98a7",
    "val": "#3a6ea5",
    "lr": "#2b2f36",
    "complete": "#3a6ea5",
    "pruned": "#8d98a7",
    "failed": "#cf7a2c",
    "best": "#3f8a5c",
}
LOSS = "loss (cross-entropy)"
LR_NOTE = "bold: smoothed, faint: each batch"


@dataclass(frozen=True)
class Panel:
    """One panel of the curves: series over epochs.

    Attributes:
        name: Heading, with the unit.
        lines: Values per epoch by name, a name that `STYLE` knows.
        note: The value at the best epoch, or nothing.
        from_zero: Whether the axis should start at zero.
        most: Where the axis should end at the latest.
        log: Whether the values belong on a log axis.
    """

    name: str
    lines: Mapping[str, NDArray[np.float64]]
    note: str
    from_zero: bool = False
    most: float = math.inf
    log: bool = False

    def ends(self) -> list[tuple[float, str]]:
        """Return the last finite value and the name of each series, by increasing value."""
        found = [(values[np.isfinite(values)][-1:], name) for name, values in self.lines.items()]
        return sorted((float(end[0]), name) for end, name in found if end.size)


@dataclass(frozen=True)
class Point:
    """A trial of a study, between learning rate and objective.

    Attributes:
        number: Optuna's.
        lr: Its learning rate, above 0.
        value: Its objective, of a pruned trial the last it reported; None if it has none.
        state: ``COMPLETE``, ``PRUNED`` or ``FAIL``.
        best: Whether it is the study's best.
        params: All swept values.
    """

    number: int
    lr: float
    value: float | None
    state: str
    best: bool = False
    params: Mapping[str, object] = field(default_factory=dict)

    @property
    def look(self) -> str:
        """``best``, ``complete``, ``pruned`` or ``failed``: how it is drawn."""
        state = {"COMPLETE": "complete", "PRUNED": "pruned"}.get(self.state, "failed")
        return "best" if self.best else state


LOOKS = ("complete", "pruned", "failed", "best")
"""How trials are drawn, from the back to the front."""


@dataclass(frozen=True)
class Cloud:
    """All trials of a study, laid out.

    Attributes:
        x: (low, high) of the learning rate, as exponents of ten.
        y: (low, high) of the objective, as exponents if `log`.
        log: Whether the objective belongs on a log axis.
        points: By look, each with its height on the axis; trials without a value lie on its edge.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    log: bool
    points: Mapping[str, Sequence[tuple[Point, float]]]


def cloud(points: Sequence[Point], *, maximize: bool) -> Cloud:
    """Lay out the trials of a study.

    Args:
        points: At least one.
        maximize: Whether a larger objective is better; failures lie on the worse edge.
    """
    known = {p.number: p.value for p in points if p.value is not None and math.isfinite(p.value)}
    values = np.array(list(known.values()), float)
    log = spans_decade(values)
    shown = np.log10(values) if log else values
    low, high = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 1.0)
    room = 0.08 * (high - low) or 0.1 * abs(high) or 0.1
    edge = low - 1.2 * room if maximize else high + 1.2 * room
    heights = dict(zip(known, shown.tolist(), strict=True))
    placed: dict[str, list[tuple[Point, float]]] = {look: [] for look in LOOKS}
    for point in points:
        placed[point.look].append((point, heights.get(point.number, edge)))
    rates = np.log10([point.lr for point in points])
    left, right = float(rates.min()), float(rates.max())
    aside = 0.04 * (right - left) or 0.5
    return Cloud(
        (left - aside, right + aside), (min(low, edge) - room, max(high, edge) + room), log, placed
    )


def panels(history: Mapping[str, Sequence[float]], best_epoch: int) -> tuple[Panel, Panel, Panel]:
    """Prepare loss, accuracy and learning rate.

    Args:
        history: One value per epoch of ``train/loss``, ``val/loss``, ``train/accuracy``,
            ``val/accuracy`` (0..1) and ``lr``; non-finite values may be among them.
        best_epoch: Counted from 1; outside the history there are no notes.

    Returns:
        The three panels, from left to right.
    """
    known = {key: np.asarray(values, float) for key, values in history.items()}
    loss = {name: known[f"{name}/loss"] for name in ("train", "val")}
    percent = {name: 100 * known[f"{name}/accuracy"] for name in ("train", "val")}
    lr = known["lr"]
    notes = ["", "", ""]
    if 1 <= best_epoch <= len(lr):
        at = best_epoch - 1
        texts = f"val {loss['val'][at]:.4f}", f"val {percent['val'][at]:.2f} %", rate(lr[at])
        notes = [f"{text} at best epoch {best_epoch}" for text in texts]
    log = spans_decade(lr)
    return (
        Panel(LOSS, loss, notes[0], from_zero=near_zero(*loss.values())),
        Panel("accuracy (%)", percent, notes[1], most=100.5),
        Panel("learning rate" + " (log)" * log, {"lr": lr}, notes[2], log=log),
    )


def finite(lr: ArrayLike, values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Keep the points that a log axis can show.

    Args:
        lr: (n,) learning rates.
        values: (n,) losses.

    Returns:
        Rates and values, less the points where either is non-finite or the rate is not above 0.
    """
    x, y = np.asarray(lr, float), np.asarray(values, float)
    kept = np.isfinite(x) & (x > 0) & np.isfinite(y)
    return x[kept], y[kept]


def loss_window(loss: ArrayLike, smooth: ArrayLike) -> tuple[float, float]:
    """Choose bounds of the loss axis that neither blow-up nor noise can ruin.

    They follow the fall from the starting loss to the lowest smoothed loss (at least a tenth of
    the start, so that a flat curve looks flat), with room for the noise of single batches.

    Args:
        loss: (n,) loss of each batch.
        smooth: (n,) smoothed loss, at least one value finite.

    Returns:
        Lower and upper bound.
    """
    raw, curve = np.asarray(loss, float), np.asarray(smooth, float)
    both = np.isfinite(raw) & np.isfinite(curve)
    noise = 3 * float(np.median(np.abs(raw[both] - curve[both]))) if both.any() else 0.0
    curve = curve[np.isfinite(curve)]
    start, lowest = float(np.median(curve[: max(1, curve.size // 10)])), float(curve.min())
    fall = max(start - lowest, 0.1 * abs(start), 1e-9)
    return lowest - max(0.22 * fall, min(noise, lowest)), start + max(0.35 * fall, noise)


def on_curve(
    suggestions: Mapping[str, float | None], x: NDArray, y: NDArray
) -> list[tuple[str, float, float]]:
    """Place suggestions on the smoothed curve.

    Args:
        suggestions: Learning rate by name; None, NaN and values outside the test are left out.
        x: (n,) learning rates, increasing.
        y: (n,) smoothed loss.

    Returns:
        Name, learning rate and loss of each, by increasing learning rate.
    """
    # A suggestion at either end of the test may differ from it by rounding.
    low, high = x[0] * (1 - 1e-6), x[-1] * (1 + 1e-6)
    found = [(lr, name) for name, lr in suggestions.items() if drawable(lr) and low <= lr <= high]
    return [(name, lr, float(np.interp(math.log(lr), np.log(x), y))) for lr, name in sorted(found)]


def drawable(value: float | None) -> TypeGuard[float]:
    """Tell whether a learning rate is there and fits on a log axis."""
    return value is not None and math.isfinite(value) and value > 0


def spans_decade(rates: NDArray[np.float64]) -> bool:
    """Tell whether learning rates vary by more than ten times, none of them zero."""
    rates = rates[np.isfinite(rates)]
    return bool(rates.size and rates.min() > 0 and rates.max() > 10 * rates.min())


def near_zero(*series: NDArray[np.float64]) -> bool:
    """Tell whether an axis over these values should start at zero."""
    values = np.concatenate(series)
    values = values[np.isfinite(values)]
    return bool(values.size and 0 <= values.min() < values.max() / 4)


def decade_ticks(low: float, high: float) -> list[float]:
    """Choose exponents to label: decades, or steps of 1, 2, 5 where few decades fit."""
    steps = (1,) if high - low > 2 else (1, 2, 5)
    every = max(math.ceil((high - low) / 9), 1)
    decades = range(math.floor(low), math.ceil(high) + 1, every)
    marks = [decade + math.log10(step) for decade in decades for step in steps]
    return [mark for mark in marks if low - 1e-6 <= mark <= high + 1e-6]


def epoch_ticks(last: int) -> list[int]:
    """Choose at most six round epochs to label among 1 to `last`."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, last) if last / step <= 6)
    return list(range(step, last + 1, step))


def rate(value: float) -> str:
    """Write a learning rate as on the command line: ``1e-03``, ``1.2e-03``."""
    return f"{value:.1e}".replace(".0e", "e") if value else "0"


def shorten(text: str, length: int) -> str:
    """Cut the middle out of a longer text: names differ at both ends."""
    # File names may hold bytes that are no text, on which drawing would stop.
    text = text.encode("utf-8", "replace").decode()
    head = (length - 1) // 2
    return text if len(text) <= length else f"{text[:head]}…{text[head + 1 - length :]}"
