"""Every picture of a run as a PNG: plain numbers in, one file out.

Two of them exist again in `catdog.pages`, as HTML pages that answer the mouse.

Every trial of a sweep draws, so a picture must be cheap: margins in inches instead of a layout
engine, log axes as plain axes over log10, one drawing pass, and matplotlib imported by the first
picture. Its own objects are used, never pyplot: no global state, so threads may draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg

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
}
LOSS = "loss (cross-entropy)"
LR_NOTE = "bold: smoothed, faint: each batch"
DPI = 110


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
    canvas = _canvas(title, LR_NOTE, height=5.0)
    ax = _axes(canvas, left=0.8, bottom=0.65, right=0.3, top=1.05)
    _name_axes(ax, "learning rate (log scale)", LOSS)
    x, y = finite(lr, smooth)
    if not x.size:
        _say(ax, 0.5, 0.5, "no finite loss at any learning rate", ha="center", fontsize=13)
        ax.set(xticks=[], yticks=[])
        return _save(canvas, path)
    raw_x, raw_y = finite(lr, loss)
    low, high = loss_window(loss, smooth)
    ax.plot(np.log10(raw_x), raw_y, color=STYLE["faint"], lw=1)
    ax.plot(np.log10(x), y, color=STYLE["main"], lw=2.4)
    shown = [*np.log10(x), math.log10(chosen)] if drawable(chosen) else np.log10(x)
    left, right = min(shown), max(shown)
    edge = 0.02 * (right - left) + 0.01
    ax.set(xlim=(left - edge, right + edge), ylim=(low, high))
    floor = 0 if y.min() >= 0 else low
    ax.set_yticks([tick for tick in ax.get_yticks() if max(floor, low) <= tick <= high])
    _rate_ticks(ax.xaxis, left, right)
    _mark_suggestions(ax, on_curve(suggestions, x, y))
    if drawable(chosen):
        _mark_chosen(ax, chosen)
    _save(canvas, path)


def curves_png(
    path: str | Path, *, history: Mapping[str, Sequence[float]], best_epoch: int, title: str
) -> None:
    """Draw loss, accuracy and learning rate over the epochs, with the best epoch marked.

    Args:
        path: The PNG to write.
        history: One value per epoch of ``train/loss``, ``val/loss``, ``train/accuracy``,
            ``val/accuracy`` (0..1) and ``lr``; non-finite values are left out.
        best_epoch: Counted from 1; outside the history it is not marked.
        title: Heading of the picture.
    """
    known = {key: np.asarray(values, float) for key, values in history.items()}
    note = {"color": STYLE["muted"]}
    canvas = _canvas(title, "", height=3.9)
    loss = _panel(canvas, LOSS, left=0.6, right=5.95)
    losses = {name: known[f"{name}/loss"] for name in ("train", "val")}
    _draw_epochs(loss, losses, best_epoch, bottom=0 if near_zero(*losses.values()) else None)
    _say(loss, 0, 1.04, best_note(losses["val"], best_epoch, "val {:.4f}".format), **note)

    accuracy = _panel(canvas, "accuracy (%)", left=3.85, right=2.7)
    percent = {name: 100 * known[f"{name}/accuracy"] for name in ("train", "val")}
    _draw_epochs(accuracy, percent, best_epoch, most=100.5)
    _say(accuracy, 0, 1.04, best_note(percent["val"], best_epoch, "val {:.2f} %".format), **note)

    log = spans_decade(known["lr"])
    rates = _panel(canvas, "learning rate" + " (log)" * log, left=7.25, right=0.2)
    _draw_epochs(rates, {"lr": np.log10(known["lr"]) if log else known["lr"]}, best_epoch)
    if log:
        _rate_ticks(rates.yaxis, *rates.get_ylim())
    else:
        ticks = np.unique(known["lr"][np.isfinite(known["lr"])])
        ticks = ticks[:1] if ticks.size == 1 else rates.get_yticks()[1:-1]
        rates.set_yticks(ticks, [rate(tick) for tick in ticks])
    _say(rates, 0, 1.04, best_note(known["lr"], best_epoch, rate), **note)
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
    names = [shorten(name, 20) for name in classes]
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
        look = {"va": "center", "fontsize": 8, "color": STYLE["muted"]}
        _say(ax, k - 0.2, row, text, transform=ax.transData, **look)
    if not numbered:
        _say(ax, 1.005, 1 + 0.12 / side, "recall", color=STYLE["muted"])
    _save(canvas, path)


def mistakes_png(
    path: str | Path,
    *,
    photos: Sequence[NDArray[np.uint8]],
    captions: Sequence[str],
    title: str,
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
            words = shorten(text, int(side * (15 if line else 13)))
            at = bottom - 0.17 * (line + 1)
            _say(ax, left, at, words, transform=ax.transData, fontsize=8, **look)
    ax.set(xlim=(0, 9.0), ylim=(0, height))
    _save(canvas, path)


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


def epoch_ticks(last: int) -> list[int]:
    """Choose at most six round epochs to label among 1 to `last`."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, last) if last / step <= 6)
    return list(range(step, last + 1, step))


def best_note(values: NDArray[np.float64], best_epoch: int, form: Callable[[float], str]) -> str:
    """Tell the value at the best epoch; empty if the history has no such epoch."""
    known = 1 <= best_epoch <= len(values)
    return f"{form(values[best_epoch - 1])} at best epoch {best_epoch}" if known else ""


def rate(value: float) -> str:
    """Write a learning rate as on the command line: ``1e-03``, ``1.2e-03``."""
    return f"{value:.1e}".replace(".0e", "e") if value else "0"


def shorten(text: str, length: int) -> str:
    """Cut the middle out of a longer text: names differ at both ends."""
    # File names may hold bytes that are no text, on which drawing would stop.
    text = text.encode("utf-8", "replace").decode()
    head = (length - 1) // 2
    return text if len(text) <= length else f"{text[:head]}…{text[head + 1 - length :]}"


def _canvas(title: str, note: str, *, height: float, width: float = 9.0) -> FigureCanvasAgg:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = FigureCanvasAgg(Figure(figsize=(width, height), dpi=DPI, facecolor="white"))
    head: dict[str, Any] = {"fontsize": 12.5, "weight": "bold", "parse_math": False}
    left, text = 0.27 / width, shorten(title, int(width * 8))
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


def _panel(canvas: FigureCanvasAgg, name: str, *, left: float, right: float) -> Axes:
    ax = _axes(canvas, left=left, bottom=0.6, right=right, top=1.15)
    _say(ax, 0, 1.13, name, fontsize=10.5, weight="bold")
    _name_axes(ax, "epoch", "")
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
    """Label an axis over log10: decades, or steps of 1, 2, 5 where few decades fit."""
    steps = (1,) if high - low > 2 else (1, 2, 5)
    every = math.ceil((high - low) / 9)
    decades = range(math.floor(low), math.ceil(high) + 1, max(every, 1))
    marks = [decade + math.log10(step) for decade in decades for step in steps]
    marks = [mark for mark in marks if low - 1e-6 <= mark <= high + 1e-6]
    axis.set_ticks(marks, labels=[rate(10**mark) for mark in marks])


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


def _draw_epochs(
    ax: Axes,
    lines: Mapping[str, NDArray[np.float64]],
    best_epoch: int,
    *,
    bottom: float | None = None,
    most: float = math.inf,
) -> None:
    """Draw series over epochs, named at their ends; the last one carries the best epoch's ring."""
    for name, values in lines.items():
        epochs = np.arange(1, len(values) + 1)
        size = 4 if len(values) <= 30 else 1
        ax.plot(epochs, values, "o-", color=STYLE[name], lw=2, ms=size)
    last = len(values)
    if 1 <= best_epoch <= last:
        ax.axvline(best_epoch, color=STYLE["muted"], lw=1, ls=(0, (4, 3)), zorder=1.5)
        best = values[best_epoch - 1]
        ax.plot(best_epoch, best, "o", ms=10, mfc="none", mec=STYLE[name], mew=1.8)
    edge = max(0.05 * (last - 1), 0.3)
    ax.set_xlim(1 - edge, last + edge)
    ax.set_xticks(epoch_ticks(last))
    ax.margins(y=0.08)
    ax.set_ylim(bottom, min(ax.get_ylim()[1], most))
    if len(lines) > 1:
        _name_ends(ax, lines)


def _name_ends(ax: Axes, lines: Mapping[str, NDArray[np.float64]]) -> None:
    """Write each name beside the end of its line, pushed apart where the lines meet."""
    ends = {name: values[np.isfinite(values)][-1:] for name, values in lines.items()}
    low, high = ax.get_ylim()
    placed = sorted(
        ((end[0] - low) / (high - low), name) for name, end in ends.items() if end.size
    )
    gap, beside = 0.075, ax.transLimits.transform((len(next(iter(lines.values()))), 0))[0] + 0.05
    if len(placed) == 2 and placed[1][0] - placed[0][0] < gap:
        middle = (placed[0][0] + placed[1][0]) / 2
        placed = [(middle - gap / 2, placed[0][1]), (middle + gap / 2, placed[1][1])]
    for at, name in placed:
        _say(ax, beside, at, name, va="center", weight="bold", color=STYLE[name])


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
