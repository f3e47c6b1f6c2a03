"""The curves of a run, laid out for both formats: training by epoch, and the LR range test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from catdog.plots.style import format_lr, spans_decade, starts_at_zero

LOSS = "loss (cross-entropy)"
TAKEN_AT = {"minimum": 10.0}
"""Learning rate of the point that a suggestion is taken from, as a multiple of the suggestion."""


@dataclass(frozen=True)
class Panel:
    """One panel of the training curves: series over epochs.

    Attributes:
        name: Heading, with the unit.
        lines: Values per epoch, by the name of the series, which has a colour in ``COLORS``.
        note: Text that gives the value at the best epoch; may be empty.
        from_zero: Whether the axis starts at zero.
        maximum: Upper limit of the axis's end.
        log: Whether the axis is logarithmic.
    """

    name: str
    lines: Mapping[str, NDArray[np.float64]]
    note: str
    from_zero: bool = False
    maximum: float = math.inf
    log: bool = False

    def ends(self) -> list[tuple[float, str]]:
        """Return the last finite value and the name of each series, by increasing value."""
        found = [(values[np.isfinite(values)][-1:], name) for name, values in self.lines.items()]
        return sorted((float(end[0]), name) for end, name in found if end.size)


def panels(history: Mapping[str, Sequence[float]], best_epoch: int) -> tuple[Panel, Panel, Panel]:
    """Lay out the training curves: loss, accuracy and learning rate.

    Args:
        history: One value per epoch of ``train/loss``, ``val/loss``, ``train/accuracy``,
            ``val/accuracy`` (0 to 1) and ``lr``; non-finite values are allowed.
        best_epoch: Best epoch, from 1; outside the history there are no notes.

    Returns:
        The three panels, from left to right.

    Example:
        >>> falling, rising = [0.5, 0.2], [0.8, 0.9]
        >>> history = {"train/loss": falling, "val/loss": falling, "lr": [1e-3, 1e-3]}
        >>> history |= {"train/accuracy": rising, "val/accuracy": rising}
        >>> [panel.note for panel in panels(history, 2)][:2]
        ['val 0.2000 at best epoch 2', 'val 90.00 % at best epoch 2']
    """
    known = {key: np.asarray(values, float) for key, values in history.items()}
    loss = {name: known[f"{name}/loss"] for name in ("train", "val")}
    percent = {name: 100 * known[f"{name}/accuracy"] for name in ("train", "val")}
    lr = known["lr"]
    notes = ["", "", ""]
    if 1 <= best_epoch <= len(lr):
        at = best_epoch - 1
        texts = f"val {loss['val'][at]:.4f}", f"val {percent['val'][at]:.2f} %", format_lr(lr[at])
        notes = [f"{text} at best epoch {best_epoch}" for text in texts]
    log = spans_decade(lr)
    return (
        Panel(LOSS, loss, notes[0], from_zero=starts_at_zero(*loss.values())),
        Panel("accuracy (%)", percent, notes[1], maximum=100.5),
        Panel("learning rate" + " (log)" * log, {"lr": lr}, notes[2], log=log),
    )


def lr_note(nothing: str) -> str:
    """Return the line below the heading of the LR range test.

    Args:
        nothing: Why nothing is suggested; empty if something is.
    """
    return "bold: smoothed, faint: each batch" + (f"; no suggestion: {nothing}" if nothing else "")


def finite_points(
    lr: ArrayLike, values: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Keep the points of a curve that a log axis can show.

    Args:
        lr: (n,) learning rates.
        values: (n,) losses.

    Returns:
        Learning rates and losses, without the points where either is non-finite or the learning
        rate is not above 0.

    Example:
        >>> finite_points([0.0, 1e-3, 1e-2], [0.7, 0.6, float("nan")])
        (array([0.001]), array([0.6]))
    """
    x, y = np.asarray(lr, float), np.asarray(values, float)
    kept = np.isfinite(x) & (x > 0) & np.isfinite(y)
    return x[kept], y[kept]


def loss_window(loss: ArrayLike, smooth: ArrayLike) -> tuple[float, float]:
    """Choose the bounds of the loss axis, independent of divergence and outliers.

    They follow the fall from the initial loss to the lowest smoothed loss (at least a tenth of the
    initial one, so that a flat curve looks flat), with a margin for the noise of single batches.

    Args:
        loss: (n,) loss of each batch.
        smooth: (n,) smoothed loss, at least one value finite.

    Returns:
        Lower and upper bound.

    Example:
        >>> low, high = loss_window([0.7, 0.3, 9e9], [0.7, 0.3, 9e9])
        >>> round(low, 3), round(high, 3)
        (0.212, 0.84)
    """
    raw, curve = np.asarray(loss, float), np.asarray(smooth, float)
    both = np.isfinite(raw) & np.isfinite(curve)
    noise = 3 * float(np.median(np.abs(raw[both] - curve[both]))) if both.any() else 0.0
    curve = curve[np.isfinite(curve)]
    start, lowest = float(np.median(curve[: max(1, curve.size // 10)])), float(curve.min())
    fall = max(start - lowest, 0.1 * abs(start), 1e-9)
    return lowest - max(0.22 * fall, min(noise, lowest)), start + max(0.35 * fall, noise)


class Mark(NamedTuple):
    """A suggestion, and the point of the curve from which it is taken.

    Attributes:
        name: Of the suggestion.
        text: Its label: name and learning rate, and the part of ``at`` that this is.
        at: Learning rate of the point.
        loss: Smoothed loss there.
    """

    name: str
    text: str
    at: float
    loss: float


def place_on_curve(suggestions: Mapping[str, float | None], x: NDArray, y: NDArray) -> list[Mark]:
    """Find the point of the smoothed curve from which each suggestion is taken.

    That is the suggested learning rate, but ``minimum`` is a tenth of its point's.

    Args:
        suggestions: Learning rate by name; None, NaN and points outside the test are left out.
        x: (n,) learning rates, increasing.
        y: (n,) smoothed loss.

    Returns:
        A mark for each, by increasing learning rate of its point.

    Example:
        >>> x, y = np.array([1e-4, 1e-2]), np.array([0.7, 0.3])
        >>> for mark in place_on_curve({"minimum": 1e-3, "steep": 1e-3}, x, y):
        ...     print(f"{mark.text}, drawn at {mark.at} {mark.loss:.3f}")
        steep 1e-03, drawn at 0.001 0.500
        minimum / 10: 1e-03, drawn at 0.01 0.300
    """
    # A suggestion at either end of the test may differ from it by rounding.
    low, high = x[0] * (1 - 1e-6), x[-1] * (1 + 1e-6)
    marks = []
    for name, lr in suggestions.items():
        if is_drawable(lr) and low <= (at := lr * TAKEN_AT.get(name, 1.0)) <= high:
            part = f" / {TAKEN_AT[name]:g}:" if name in TAKEN_AT else ""
            loss = float(np.interp(math.log(at), np.log(x), y))
            marks.append(Mark(name, f"{name}{part} {format_lr(lr)}", at, loss))
    return sorted(marks, key=lambda mark: mark.at)


def is_drawable(lr: float | None) -> TypeGuard[float]:
    """Tell whether a learning rate can be shown on a log axis: finite and above 0, not None."""
    return lr is not None and math.isfinite(lr) and lr > 0
