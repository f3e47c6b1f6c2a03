"""The plots of runs and studies as PNG files: plain numbers in, one file out.

``catdog.plots.html`` draws the same plots as interactive pages.

Every trial of a search draws, so a picture must be cheap: margins in inches instead of a layout
engine, log axes as plain axes over log10, one drawing pass, and matplotlib imported by the first
picture. Its own objects are used, never pyplot: no global state, so threads may draw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from catdog.plots import layout
from catdog.plots.canvas import add_axes, add_text, label_axes, new_canvas, save
from catdog.plots.labels import label_best, label_chosen, label_ends, label_suggestions
from catdog.plots.scatter import OUTCOMES, Point, Scatter, place_trials
from catdog.plots.style import COLORS, decade_ticks, epoch_ticks, format_lr

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = {
    "complete": ("o", 6, True),
    "pruned": ("v", 6, False),
    "failed": ("x", 6, False),
    "best": ("*", 15, True),
}
"""Marker of a trial by its outcome: shape, size in points, whether it is filled."""


def lr_range_png(
    path: str | Path,
    *,
    lr: ArrayLike,
    loss: ArrayLike,
    smooth: ArrayLike,
    suggestions: Mapping[str, float | None],
    chosen: float | None,
    title: str,
    nothing: str = "",
) -> None:
    """Draw the learning rate range test: loss against learning rate, with its suggestions.

    Args:
        path: The PNG file to write.
        lr: (n,) learning rates, increasing, above 0.
        loss: (n,) loss of each batch; non-finite values are left out.
        smooth: (n,) smoothed loss; non-finite values are left out.
        suggestions: Learning rate by name; None, NaN and values outside the test are not drawn.
        chosen: The learning rate in use, or None.
        title: Heading of the picture.
        nothing: Why nothing is suggested; empty if something is.
    """
    canvas = new_canvas(title, layout.lr_note(nothing), height=5.0)
    ax = add_axes(canvas, left=0.8, bottom=0.65, right=0.3, top=1.05)
    label_axes(ax, "learning rate (log scale)", layout.LOSS)
    x, y = layout.finite_points(lr, smooth)
    if not x.size:
        add_text(ax, 0.5, 0.5, "no finite loss at any learning rate", ha="center", fontsize=13)
        ax.set(xticks=[], yticks=[])
        return save(canvas, path)
    raw_x, raw_y = layout.finite_points(lr, loss)
    ax.plot(np.log10(raw_x), raw_y, color=COLORS["faint"], lw=1)
    ax.plot(np.log10(x), y, color=COLORS["main"], lw=2.4)
    shown = [*np.log10(x), math.log10(chosen)] if layout.is_drawable(chosen) else np.log10(x)
    _fit_axes(ax, min(shown), max(shown), y, layout.loss_window(loss, smooth))
    label_suggestions(ax, layout.place_on_curve(suggestions, x, y))
    if layout.is_drawable(chosen):
        label_chosen(ax, chosen)
    save(canvas, path)


def _fit_axes(
    ax: Axes, left: float, right: float, y: NDArray[np.float64], window: tuple[float, float]
) -> None:
    """Set limits and ticks of the range test; a loss that is never negative has no such ticks."""
    edge = 0.02 * (right - left) + 0.01
    low, high = window
    ax.set(xlim=(left - edge, right + edge), ylim=(low, high))
    floor = 0 if y.min() >= 0 else low
    ax.set_yticks([tick for tick in ax.get_yticks() if max(floor, low) <= tick <= high])
    _lr_ticks(ax.xaxis, left, right)


def _lr_ticks(axis: Any, low: float, high: float) -> None:
    ticks = decade_ticks(low, high)
    axis.set_ticks(ticks, labels=[format_lr(10**tick) for tick in ticks])


def lr_vs_loss_png(
    path: str | Path, *, points: Sequence[Point], metric: str, maximize: bool, title: str
) -> None:
    """Draw a study: the objective of each trial against its learning rate.

    Args:
        path: The PNG file to write.
        points: The trials, at least one.
        metric: Name of the objective.
        maximize: Whether a larger objective is better.
        title: Heading of the picture.
    """
    scatter = place_trials(points, maximize=maximize)
    present = [outcome for outcome in OUTCOMES if scatter.points[outcome]]
    note = "on the edge: trials without a value"
    canvas = new_canvas(title, note if {"pruned", "failed"} & set(present) else "", height=5.0)
    ax = add_axes(canvas, left=0.85, bottom=0.65, right=0.3, top=1.05)
    label_axes(ax, "learning rate (log scale)", metric + " (log scale)" * scatter.log)
    for outcome in present:
        _draw_trials(ax, scatter, outcome)
    ax.set(xlim=scatter.x, ylim=scatter.y)
    _lr_ticks(ax.xaxis, *scatter.x)
    if scatter.log:
        ticks = decade_ticks(*scatter.y)
        ax.set_yticks(ticks, [f"{10**tick:.3g}" for tick in ticks])
    label_best(ax, scatter.points["best"])
    ax.legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=len(present), frameon=False, fontsize=9,
        labelcolor=COLORS["muted"], handletextpad=0.2, borderaxespad=0.1,
    )  # fmt: skip
    save(canvas, path)


def _draw_trials(ax: Axes, scatter: Scatter, outcome: str) -> None:
    placed = scatter.points[outcome]
    marker, size, fill = MARKERS[outcome]
    color = COLORS[outcome]
    ax.plot(
        [math.log10(point.lr) for point, _ in placed], [height for _, height in placed], marker,
        ms=size, mew=1.6, mec=color, mfc=color if fill else "none", alpha=0.85,
        label=f"{outcome} ({len(placed)})", clip_on=False, zorder=3 + (outcome == "best"),
    )  # fmt: skip


def curves_png(
    path: str | Path,
    *,
    history: Mapping[str, Sequence[float]],
    best_epoch: int,
    title: str,
    first_stage: int = 0,
) -> None:
    """Draw loss, accuracy and learning rate over the epochs, with the best epoch marked.

    Args:
        path: The PNG file to write.
        history: As ``catdog.plots.layout.panels`` takes it.
        best_epoch: Best epoch, from 1; not marked if it lies outside the history.
        title: Heading of the picture.
        first_stage: Number of epochs before the second stage, whose background is shaded; 0 if
            there is no second stage.
    """
    canvas = new_canvas(title, "", height=3.9)
    loss, accuracy, lr = layout.panels(history, best_epoch)
    places = ((loss, 0.6, 5.95), (accuracy, 3.85, 2.7), (lr, 7.25, 0.2))
    for panel, left, right in places:
        ax = add_axes(canvas, left=left, bottom=0.6, right=right, top=1.15)
        _draw_panel(ax, panel, best_epoch)
        if first_stage:
            shade: dict[str, Any] = {"color": COLORS["grid"], "alpha": 0.5, "lw": 0, "zorder": 0}
            ax.axvspan(first_stage + 0.5, ax.get_xlim()[1], **shade)
    if lr.log:
        _lr_ticks(ax.yaxis, *ax.get_ylim())
    else:
        rates = np.unique(lr.lines["lr"][np.isfinite(lr.lines["lr"])])
        ticks = rates if rates.size == 1 else ax.get_yticks()[1:-1]
        ax.set_yticks(ticks, [format_lr(tick) for tick in ticks])
    save(canvas, path)


def _draw_panel(ax: Axes, panel: layout.Panel, best_epoch: int) -> None:
    """Draw the series of a panel; a ring marks the best epoch on the last of them."""
    add_text(ax, 0, 1.13, panel.name, fontsize=10.5, weight="bold")
    add_text(ax, 0, 1.04, panel.note, color=COLORS["muted"])
    label_axes(ax, "epoch", "")
    for name, values in panel.lines.items():
        shown, last = np.log10(values) if panel.log else values, len(values)
        size = 4 if last <= 30 else 1
        ax.plot(np.arange(1, last + 1), shown, "o-", color=COLORS[name], lw=2, ms=size)
    if panel.note:
        ax.axvline(best_epoch, color=COLORS["muted"], lw=1, ls=(0, (4, 3)), zorder=1.5)
        best = shown[best_epoch - 1]
        ax.plot(best_epoch, best, "o", ms=10, mfc="none", mec=COLORS[name], mew=1.8)
    edge = max(0.05 * (last - 1), 0.3)
    ax.set_xlim(1 - edge, last + edge)
    ax.set_xticks(epoch_ticks(last))
    ax.margins(y=0.08)
    ax.set_ylim(0 if panel.from_zero else None, min(ax.get_ylim()[1], panel.maximum))
    if len(panel.lines) > 1:
        label_ends(ax, panel.ends(), last)
