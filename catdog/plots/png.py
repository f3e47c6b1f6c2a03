"""Every picture of a run as a PNG: plain numbers in, one file out.

Two of them exist again in `catdog.plots.html`, as HTML pages that answer the mouse.

Every trial of a sweep draws, so a picture must be cheap: margins in inches instead of a layout
engine, log axes as plain axes over log10, one drawing pass, and matplotlib imported by the first
picture. Its own objects are used, never pyplot: no global state, so threads may draw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from catdog.plots import layout
from catdog.plots.canvas import add_axes, name_axes, new_canvas, save, say
from catdog.plots.layout import STYLE, Point, rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg

MARKERS = {
    "complete": ("o", 6, True),
    "pruned": ("v", 6, False),
    "failed": ("x", 6, False),
    "best": ("*", 15, True),
}
"""Of trials: shape, size in points, whether it is filled."""


def lr_range_png(
    path: str | Path,
    *,
    lr: ArrayLike,
    loss: ArrayLike,
    smooth: ArrayLike,
    suggestions: Mapping[str, float | None],
    chosen: float | None,
    title: str,
) -> None:
    """Draw the learning rate range test: loss against learning rate, with its suggestions.

    Args:
        path: The PNG to write.
        lr: (n,) learning rates, increasing, above 0.
        loss: (n,) loss of each batch; non-finite values are left out.
        smooth: (n,) smoothed loss; non-finite values are left out.
        suggestions: Learning rate by name; None, NaN and values outside the test are not drawn.
        chosen: The learning rate in use, or None.
        title: Heading of the picture.
    """
    canvas = new_canvas(title, layout.LR_NOTE, height=5.0)
    ax = add_axes(canvas, left=0.8, bottom=0.65, right=0.3, top=1.05)
    name_axes(ax, "learning rate (log scale)", layout.LOSS)
    x, y = layout.finite(lr, smooth)
    if not x.size:
        say(ax, 0.5, 0.5, "no finite loss at any learning rate", ha="center", fontsize=13)
        ax.set(xticks=[], yticks=[])
        return save(canvas, path)
    raw_x, raw_y = layout.finite(lr, loss)
    low, high = layout.loss_window(loss, smooth)
    ax.plot(np.log10(raw_x), raw_y, color=STYLE["faint"], lw=1)
    ax.plot(np.log10(x), y, color=STYLE["main"], lw=2.4)
    shown = [*np.log10(x), math.log10(chosen)] if layout.drawable(chosen) else np.log10(x)
    left, right = min(shown), max(shown)
    edge = 0.02 * (right - left) + 0.01
    ax.set(xlim=(left - edge, right + edge), ylim=(low, high))
    floor = 0 if y.min() >= 0 else low
    ax.set_yticks([tick for tick in ax.get_yticks() if max(floor, low) <= tick <= high])
    _rate_ticks(ax.xaxis, left, right)
    _mark_suggestions(ax, layout.on_curve(suggestions, x, y))
    if layout.drawable(chosen):
        _mark_chosen(ax, chosen)
    save(canvas, path)


def lr_vs_loss_png(
    path: str | Path, *, points: Sequence[Point], metric: str, maximize: bool, title: str
) -> None:
    """Draw a study: the objective of each trial against its learning rate.

    Args:
        path: The PNG to write.
        points: The trials, at least one.
        metric: What the objective is called.
        maximize: Whether a larger objective is better.
        title: Heading of the picture.
    """
    cloud = layout.cloud(points, maximize=maximize)
    there = [look for look in layout.LOOKS if cloud.points[look]]
    note = "on the edge: trials without a value"
    canvas = new_canvas(title, note if {"pruned", "failed"} & set(there) else "", height=5.0)
    ax = add_axes(canvas, left=0.85, bottom=0.65, right=0.3, top=1.05)
    name_axes(ax, "learning rate (log scale)", metric + " (log scale)" * cloud.log)
    for look in there:
        placed = cloud.points[look]
        x = [math.log10(point.lr) for point, _ in placed]
        marker, size, fill = MARKERS[look]
        color = STYLE[look]
        ax.plot(
            x, [height for _, height in placed], marker, ms=size, mew=1.6, mec=color,
            mfc=color if fill else "none", alpha=0.85, label=f"{look} ({len(placed)})",
            clip_on=False, zorder=3 + (look == "best"),
        )  # fmt: skip
    ax.set(xlim=cloud.x, ylim=cloud.y)
    _rate_ticks(ax.xaxis, *cloud.x)
    if cloud.log:
        ticks = layout.decade_ticks(*cloud.y)
        ax.set_yticks(ticks, [f"{10**tick:.3g}" for tick in ticks])
    _name_best(ax, cloud.points["best"])
    ax.legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=len(there), frameon=False, fontsize=9,
        labelcolor=STYLE["muted"], handletextpad=0.2, borderaxespad=0.1,
    )  # fmt: skip
    save(canvas, path)


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
        path: The PNG to write.
        history: As `figures.panels` takes it.
        best_epoch: Counted from 1; outside the history it is not marked.
        title: Heading of the picture.
        first_stage: Epochs before the second stage, whose ground is shaded; 0 for one stage.
    """
    canvas = new_canvas(title, "", height=3.9)
    loss, accuracy, lr = layout.panels(history, best_epoch)
    places = ((loss, 0.6, 5.95), (accuracy, 3.85, 2.7), (lr, 7.25, 0.2))
    for panel, left, right in places:
        ax = _draw_panel(canvas, panel, best_epoch, left=left, right=right)
        if first_stage:
            ax.axvspan(
                first_stage + 0.5, ax.get_xlim()[1], color=STYLE["grid"], alpha=0.5, lw=0, zorder=0
            )
    if lr.log:
        _rate_ticks(ax.yaxis, *ax.get_ylim())
    else:
        rates = np.unique(lr.lines["lr"][np.isfinite(lr.lines["lr"])])
        ticks = rates if rates.size == 1 else ax.get_yticks()[1:-1]
        ax.set_yticks(ticks, [rate(tick) for tick in ticks])
    save(canvas, path)


def _rate_ticks(axis: Any, low: float, high: float) -> None:
    ticks = layout.decade_ticks(low, high)
    axis.set_ticks(ticks, labels=[rate(10**tick) for tick in ticks])


def _mark_suggestions(ax: Axes, marks: Sequence[tuple[str, float, float]]) -> None:
    """Dot suggestions on the curve; labels step away from it, where a falling curve leaves room.

    That is below and left of it, or above and right of it near the left edge.
    """
    pixels = [
        ax.transData.transform((math.log10(lr), loss)) - ax.bbox.min for _, lr, loss in marks
    ]
    near = sum(across < 0.2 * ax.bbox.width for across, _ in pixels)
    row = -math.inf
    for mark, (across, up) in reversed(list(zip(marks[:near], pixels[:near], strict=True))):
        row = max(up + 18, row + 21)
        _mark(ax, *mark, label=(across + 16, min(row, ax.bbox.height - 11)), ha="left")
    row = math.inf
    for mark, (across, up) in zip(marks[near:], pixels[near:], strict=True):
        row = max(min(up - 18, row - 21), 11)
        _mark(ax, *mark, label=(across - 16, row), ha="right")


def _mark(
    ax: Axes, name: str, lr: float, loss: float, *, label: tuple[float, float], ha: str
) -> None:
    at, color = math.log10(lr), STYLE.get(name, STYLE["ink"])
    ax.plot(at, loss, "o", ms=8, color=color, mec="white", mew=1.5, zorder=4)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
    line = {"arrowstyle": "-", "color": color, "lw": 1, "shrinkA": 0, "shrinkB": 3}
    look: dict[str, Any] = {"fontsize": 10, "weight": "bold", "color": color, "parse_math": False}
    look |= {"xytext": label, "textcoords": "axes pixels", "ha": ha, "va": "center", "zorder": 3}
    ax.annotate(f"{name} {rate(lr)}", (at, loss), bbox=box, arrowprops=line, **look)


def _mark_chosen(ax: Axes, lr: float) -> None:
    ax.axvline(math.log10(lr), color=STYLE["ink"], lw=1.2, ls=(0, (4, 3)), zorder=1.5)
    at = float(ax.transLimits.transform((math.log10(lr), 0))[0])
    ha = "left" if at < 0.12 else "right" if at > 0.88 else "center"
    say(ax, at, 1.02, f"optimizer.lr {rate(lr)}", ha=ha, fontsize=10, weight="bold")


def _name_best(ax: Axes, placed: Sequence[tuple[Point, float]]) -> None:
    """Write number and learning rate beside the best trial, where there is one."""
    if len(placed) != 1:
        return
    point, height = placed[0]
    x = float(ax.transLimits.transform((math.log10(point.lr), height))[0])
    ha, step = ("right", -12) if x > 0.7 else ("left", 12)
    ax.annotate(
        f"trial {point.number}: lr {rate(point.lr)}", (math.log10(point.lr), height),
        xytext=(step, 0), textcoords="offset points", ha=ha, va="center", fontsize=10,
        weight="bold", color=STYLE["best"], parse_math=False, zorder=5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
    )  # fmt: skip


def _draw_panel(
    canvas: FigureCanvasAgg, panel: layout.Panel, best_epoch: int, *, left: float, right: float
) -> Axes:
    """Draw series over epochs, named at their ends; the last one carries the best epoch's ring."""
    ax = add_axes(canvas, left=left, bottom=0.6, right=right, top=1.15)
    say(ax, 0, 1.13, panel.name, fontsize=10.5, weight="bold")
    say(ax, 0, 1.04, panel.note, color=STYLE["muted"])
    name_axes(ax, "epoch", "")
    for name, values in panel.lines.items():
        shown, last = np.log10(values) if panel.log else values, len(values)
        size = 4 if last <= 30 else 1
        ax.plot(np.arange(1, last + 1), shown, "o-", color=STYLE[name], lw=2, ms=size)
    if panel.note:
        ax.axvline(best_epoch, color=STYLE["muted"], lw=1, ls=(0, (4, 3)), zorder=1.5)
        best = shown[best_epoch - 1]
        ax.plot(best_epoch, best, "o", ms=10, mfc="none", mec=STYLE[name], mew=1.8)
    edge = max(0.05 * (last - 1), 0.3)
    ax.set_xlim(1 - edge, last + edge)
    ax.set_xticks(layout.epoch_ticks(last))
    ax.margins(y=0.08)
    ax.set_ylim(0 if panel.from_zero else None, min(ax.get_ylim()[1], panel.most))
    if len(panel.lines) > 1:
        _name_ends(ax, panel.ends(), last)
    return ax


def _name_ends(ax: Axes, ends: Sequence[tuple[float, str]], last: int) -> None:
    """Write each name beside the end of its line, pushed apart where the lines meet."""
    low, high = ax.get_ylim()
    heights = [(end - low) / (high - low) for end, _ in ends]
    if len(ends) == 2 and heights[1] - heights[0] < 0.075:
        middle = sum(heights) / 2
        heights = [middle - 0.0375, middle + 0.0375]
    beside = ax.transLimits.transform((last, 0))[0] + 0.05
    for height, (_, name) in zip(heights, ends, strict=True):
        say(ax, beside, height, name, va="center", weight="bold", color=STYLE[name])
