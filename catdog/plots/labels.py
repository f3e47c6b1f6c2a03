"""Labels of PNG pictures, placed so that they cover neither curves nor each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from catdog.plots.canvas import add_text
from catdog.plots.layout import Mark
from catdog.plots.scatter import Point
from catdog.plots.style import COLORS, format_lr

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def label_suggestions(ax: Axes, marks: Sequence[Mark]) -> None:
    """Mark suggested learning rates on the curve of the range test.

    Labels stand where a falling curve leaves room: below and left of their dot, or above and right
    of it near the left edge.

    Args:
        ax: Axes with log10 of the learning rate on x; their limits must be final.
        marks: The suggestions, by increasing learning rate of their points.
    """
    pixels = [
        ax.transData.transform((math.log10(one.at), one.loss)) - ax.bbox.min for one in marks
    ]
    near_left = sum(x < 0.2 * ax.bbox.width for x, _ in pixels)
    row = -math.inf
    for mark, (x, y) in reversed(list(zip(marks[:near_left], pixels[:near_left], strict=True))):
        row = max(y + 18, row + 21)
        _label_dot(ax, mark, label=(x + 16, min(row, ax.bbox.height - 11)), ha="left")
    row = math.inf
    for mark, (x, y) in zip(marks[near_left:], pixels[near_left:], strict=True):
        row = max(min(y - 18, row - 21), 11)
        _label_dot(ax, mark, label=(x - 16, row), ha="right")


def _label_dot(ax: Axes, mark: Mark, *, label: tuple[float, float], ha: str) -> None:
    """Draw a dot and its label, whose place is in pixels from the lower left corner."""
    x, color = math.log10(mark.at), COLORS.get(mark.name, COLORS["ink"])
    ax.plot(x, mark.loss, "o", ms=8, color=color, mec="white", mew=1.5, zorder=4)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
    line = {"arrowstyle": "-", "color": color, "lw": 1, "shrinkA": 0, "shrinkB": 3}
    style: dict[str, Any] = {"fontsize": 10, "weight": "bold", "color": color, "parse_math": False}
    style |= {"xytext": label, "textcoords": "axes pixels", "ha": ha, "va": "center", "zorder": 3}
    ax.annotate(mark.text, (x, mark.loss), bbox=box, arrowprops=line, **style)


def label_chosen(ax: Axes, lr: float) -> None:
    """Draw a vertical line at the learning rate in use, with a label above the axes."""
    ax.axvline(math.log10(lr), color=COLORS["ink"], lw=1.2, ls=(0, (4, 3)), zorder=1.5)
    x = float(ax.transLimits.transform((math.log10(lr), 0))[0])
    ha = "left" if x < 0.12 else "right" if x > 0.88 else "center"
    add_text(ax, x, 1.02, f"optimizer.lr {format_lr(lr)}", ha=ha, fontsize=10, weight="bold")


def label_best(ax: Axes, placed: Sequence[tuple[Point, float]]) -> None:
    """Write number and learning rate beside the best trial, unless there are several."""
    if len(placed) != 1:
        return
    point, height = placed[0]
    x = float(ax.transLimits.transform((math.log10(point.lr), height))[0])
    ha, step = ("right", -12) if x > 0.7 else ("left", 12)
    ax.annotate(
        f"trial {point.number}: lr {format_lr(point.lr)}", (math.log10(point.lr), height),
        xytext=(step, 0), textcoords="offset points", ha=ha, va="center", fontsize=10,
        weight="bold", color=COLORS["best"], parse_math=False, zorder=5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
    )  # fmt: skip


def label_ends(ax: Axes, ends: Sequence[tuple[float, str]], last: int) -> None:
    """Write the name of each series beside its end, moved apart where two series meet.

    Args:
        ax: Axes with epochs on x; their limits must be final.
        ends: Last value and name of each series, by increasing value.
        last: The last epoch.
    """
    low, high = ax.get_ylim()
    heights = [(end - low) / (high - low) for end, _ in ends]
    if len(ends) == 2 and heights[1] - heights[0] < 0.075:
        middle = sum(heights) / 2
        heights = [middle - 0.0375, middle + 0.0375]
    x = ax.transLimits.transform((last, 0))[0] + 0.05
    for height, (_, name) in zip(heights, ends, strict=True):
        add_text(ax, x, height, name, va="center", weight="bold", color=COLORS[name])
