"""Every picture of a run as a PNG: plain numbers in, one file out.

Two of them exist again in `catdog.pages`, as HTML pages that answer the mouse.

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
from numpy.typing import ArrayLike, NDArray

from catdog import figures
from catdog.figures import STYLE, Point, rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg

DPI = 110
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
    canvas = _canvas(title, figures.LR_NOTE, height=5.0)
    ax = _axes(canvas, left=0.8, bottom=0.65, right=0.3, top=1.05)
    _name_axes(ax, "learning rate (log scale)", figures.LOSS)
    x, y = figures.finite(lr, smooth)
    if not x.size:
        _say(ax, 0.5, 0.5, "no finite loss at any learning rate", ha="center", fontsize=13)
        ax.set(xticks=[], yticks=[])
        return _save(canvas, path)
    raw_x, raw_y = figures.finite(lr, loss)
    low, high = figures.loss_window(loss, smooth)
    ax.plot(np.log10(raw_x), raw_y, color=STYLE["faint"], lw=1)
    ax.plot(np.log10(x), y, color=STYLE["main"], lw=2.4)
    shown = [*np.log10(x), math.log10(chosen)] if figures.drawable(chosen) else np.log10(x)
    left, right = min(shown), max(shown)
    edge = 0.02 * (right - left) + 0.01
    ax.set(xlim=(left - edge, right + edge), ylim=(low, high))
    floor = 0 if y.min() >= 0 else low
    ax.set_yticks([tick for tick in ax.get_yticks() if max(floor, low) <= tick <= high])
    _rate_ticks(ax.xaxis, left, right)
    _mark_suggestions(ax, figures.on_curve(suggestions, x, y))
    if figures.drawable(chosen):
        _mark_chosen(ax, chosen)
    _save(canvas, path)


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
    cloud = figures.cloud(points, maximize=maximize)
    there = [look for look in figures.LOOKS if cloud.points[look]]
    note = "on the edge: trials without a value"
    canvas = _canvas(title, note if {"pruned", "failed"} & set(there) else "", height=5.0)
    ax = _axes(canvas, left=0.85, bottom=0.65, right=0.3, top=1.05)
    _name_axes(ax, "learning rate (log scale)", metric + " (log scale)" * cloud.log)
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
        ticks = figures.decade_ticks(*cloud.y)
        ax.set_yticks(ticks, [f"{10**tick:.3g}" for tick in ticks])
    _name_best(ax, cloud.points["best"])
    ax.legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=len(there), frameon=False, fontsize=9,
        labelcolor=STYLE["muted"], handletextpad=0.2, borderaxespad=0.1,
    )  # fmt: skip
    _save(canvas, path)


def curves_png(
    path: str | Path, *, history: Mapping[str, Sequence[float]], best_epoch: int, title: str
) -> None:
    """Draw loss, accuracy and learning rate over the epochs, with the best epoch marked.

    Args:
        path: The PNG to write.
        history: As `figures.panels` takes it.
        best_epoch: Counted from 1; outside the history it is not marked.
        title: Heading of the picture.
    """
    canvas = _canvas(title, "", height=3.9)
    loss, accuracy, lr = figures.panels(history, best_epoch)
    _draw_panel(canvas, loss, best_epoch, left=0.6, right=5.95)
    _draw_panel(canvas, accuracy, best_epoch, left=3.85, right=2.7)
    ax = _draw_panel(canvas, lr, best_epoch, left=7.25, right=0.2)
    if lr.log:
        _rate_ticks(ax.yaxis, *ax.get_ylim())
    else:
        rates = np.unique(lr.lines["lr"][np.isfinite(lr.lines["lr"])])
        ticks = rates if rates.size == 1 else ax.get_yticks()[1:-1]
        ax.set_yticks(ticks, [rate(tick) for tick in ticks])
    _save(canvas, path)


def confusion_png(
    path: str | Path, *, matrix: NDArray[np.integer], classes: Sequence[str], title: str
) -> None:
    """Draw a confusion matrix; up to 15 classes with counts and shares of the true class.

    Args:
        path: The PNG to write.
        matrix: (k, k) photos by true class (row) and predicted class (column).
        classes: k names.
        title: Heading of the picture.
    """
    k = len(classes)
    numbered, tilted = k <= 15, k > 4
    names = [figures.shorten(name, 20) for name in classes]
    size = 10 if numbered else 8
    room = 0.0084 * size * max(map(len, names)) + 0.65
    side, left, right = min(4.9 + 0.18 * k, 7.6), max(room, 1.2), 0.35 if numbered else 0.75
    bottom = room if tilted else 0.75
    width = max(left + side + right, 7.2)
    note = "blue: right, orange: wrong; darker: a larger share of the true class"
    canvas = _canvas(title, note, width=width, height=side + bottom + 0.95)
    ax = _axes(canvas, left=left, bottom=bottom, right=width - left - side, top=0.95)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    strength = _color_cells(ax, share)
    ax.set_xticks(range(k), names, rotation=90 * tilted, fontsize=size, parse_math=False)
    ax.set_yticks(range(k), names, fontsize=size, parse_math=False)
    _name_axes(ax, "predicted class", "true class")
    for row, column in np.ndindex(k, k) if numbered else ():
        if row == column or matrix[row, column] or k <= 5:
            text = f"{matrix[row, column]}\n{share[row, column]:.1%}".replace("%", " %")
            color = "white" if strength[row, column] > 0.6 else STYLE["ink"]
            look = {"ha": "center", "va": "center", "fontsize": min(13, 14 * side / k)}
            _say(ax, column, row, text, transform=ax.transData, color=color, **look)
    for row in () if numbered else range(k):
        text = f"{share[row, row]:.0%}".replace("%", " %") if matrix[row].sum() else "none"
        look = {"fontsize": 8, "color": STYLE["muted"], "transform": ax.transData}
        _say(ax, k - 0.2, row, text, va="center", **look)
    if not numbered:
        _say(ax, 1.005, 1 + 0.12 / side, "recall", color=STYLE["muted"])
    _save(canvas, path)


def mistakes_png(
    path: str | Path, *, photos: Sequence[NDArray[np.uint8]], captions: Sequence[str], title: str
) -> None:
    """Draw a grid of wrongly classified photos, each whole and with its caption.

    Args:
        path: The PNG to write.
        photos: (h, w, 3) uint8 each, any size; the first 25 are drawn.
        captions: One per photo, of one or two lines; long lines lose their middle.
        title: Heading of the picture.
    """
    shown = list(zip(photos, captions, strict=True))[:25]
    columns = 3 if len(shown) <= 3 else 4 if len(shown) <= 8 else 5
    cell = (9.0 - 0.4) / columns
    rows = math.ceil(len(shown) / columns)
    height = 0.75 + rows * (cell + 0.35) if shown else 2.4
    canvas = _canvas(title, "", height=height)
    # One set of axes in inches: a set per photo would cost more than the photos.
    ax = _axes(canvas, left=0, bottom=0, right=0, top=0)
    ax.set_axis_off()
    if not shown:
        _say(ax, 0.5, 0.4, "no mistakes on the test photos", ha="center", fontsize=16)
    for index, (photo, caption) in enumerate(shown):
        row, column = divmod(index, columns)
        left, side = 0.27 + column * cell, cell - 0.14
        bottom = height - 0.65 - row * (cell + 0.35) - side
        _place_photo(ax, photo, left=left, bottom=bottom, side=side)
        for line, text in enumerate(caption.split("\n")[:2]):
            look = {"color": STYLE["muted"]} if line else {"weight": "bold"}
            words = figures.shorten(text, int(side * (15 if line else 13)))
            at = bottom - 0.17 * (line + 1)
            _say(ax, left, at, words, transform=ax.transData, fontsize=8, **look)
    ax.set(xlim=(0, 9.0), ylim=(0, height))
    _save(canvas, path)


def _canvas(title: str, note: str, *, height: float, width: float = 9.0) -> FigureCanvasAgg:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = FigureCanvasAgg(Figure(figsize=(width, height), dpi=DPI, facecolor="white"))
    head: dict[str, Any] = {"fontsize": 12.5, "weight": "bold", "parse_math": False}
    left, text = 0.27 / width, figures.shorten(title, int(width * 8))
    canvas.figure.text(left, 1 - 0.36 / height, text, color=STYLE["ink"], **head)
    canvas.figure.text(left, 1 - 0.6 / height, note, color=STYLE["muted"], fontsize=9)
    return canvas


def _axes(
    canvas: FigureCanvasAgg, *, left: float, bottom: float, right: float, top: float
) -> Axes:
    """Add axes at distances in inches from the edges of the picture."""
    width, height = canvas.figure.get_size_inches()
    box = (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height)
    ax = canvas.figure.add_axes(box)
    ax.spines[:].set_visible(False)
    ax.grid(color=STYLE["grid"], lw=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(length=0, pad=5, labelsize=9, labelcolor=STYLE["muted"])
    return ax


def _name_axes(ax: Axes, x: str, y: str) -> None:
    ax.set_xlabel(x, color=STYLE["muted"], fontsize=10)
    ax.set_ylabel(y, color=STYLE["muted"], fontsize=10)


def _say(ax: Axes, x: float, y: float, text: str, **look: Any) -> None:
    usual: dict[str, Any] = {"fontsize": 9, "color": STYLE["ink"], "transform": ax.transAxes}
    # Names come from users: a pair of dollar signs must not become a formula.
    ax.text(x, y, text, parse_math=False, **(usual | look))


def _save(canvas: FigureCanvasAgg, path: str | Path) -> None:
    canvas.print_png(str(path), pil_kwargs={"compress_level": 4})


def _rate_ticks(axis: Any, low: float, high: float) -> None:
    ticks = figures.decade_ticks(low, high)
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
    _say(ax, at, 1.02, f"optimizer.lr {rate(lr)}", ha=ha, fontsize=10, weight="bold")


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
    canvas: FigureCanvasAgg, panel: figures.Panel, best_epoch: int, *, left: float, right: float
) -> Axes:
    """Draw series over epochs, named at their ends; the last one carries the best epoch's ring."""
    ax = _axes(canvas, left=left, bottom=0.6, right=right, top=1.15)
    _say(ax, 0, 1.13, panel.name, fontsize=10.5, weight="bold")
    _say(ax, 0, 1.04, panel.note, color=STYLE["muted"])
    _name_axes(ax, "epoch", "")
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
    ax.set_xticks(figures.epoch_ticks(last))
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
        _say(ax, beside, height, name, va="center", weight="bold", color=STYLE[name])


def _color_cells(ax: Axes, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Paint the diagonal in one colour and mistakes in another; return how strong each cell is."""
    from matplotlib.colors import to_rgb

    right = np.eye(len(share), dtype=bool)
    # Mistakes are rare: by the cube root, 1 % of a class can already be seen.
    strength = 0.9 * np.where(right, share, np.cbrt(share))
    full = np.where(right[..., None], to_rgb(STYLE["main"]), to_rgb(STYLE["wrong"]))
    mix = strength[..., None]
    ax.imshow((1 - mix) * to_rgb(STYLE["empty"]) + mix * full, interpolation="nearest")
    ax.grid(False)
    between, ends = np.arange(len(share) - 1) + 0.5, (-0.5, len(share) - 0.5)
    look: dict[str, Any] = {"color": "white", "lw": 3 if len(share) < 8 else 1}
    ax.hlines(between, *ends, **look)
    ax.vlines(between, *ends, **look)
    return strength


def _place_photo(
    ax: Axes, photo: NDArray[np.uint8], *, left: float, bottom: float, side: float
) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((left, bottom), side, side, color=STYLE["empty"], lw=0, zorder=0))
    height, width = photo.shape[:2]
    # matplotlib resamples in float RGBA, 16 times a photo's bytes: thin out large ones first.
    thin = max(1, int(max(height, width) / (3 * DPI * side)))
    wide, high = (side * length / max(height, width) for length in (width, height))
    x, y = left + (side - wide) / 2, bottom + (side - high) / 2
    ax.imshow(photo[::thin, ::thin], extent=(x, x + wide, y, y + high), aspect="auto")
