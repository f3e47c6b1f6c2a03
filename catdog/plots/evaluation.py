"""Pictures of an evaluation: confusion and calibration. Plain numbers in, one PNG out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from catdog.plots import layout
from catdog.plots.canvas import add_axes, name_axes, new_canvas, save, say
from catdog.plots.layout import STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from catdog.evaluation.breakdown import Bin


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
    names = [layout.shorten(name, 20) for name in classes]
    size = 10 if numbered else 8
    room = 0.0084 * size * max(map(len, names)) + 0.65
    side, left, right = min(4.9 + 0.18 * k, 7.6), max(room, 1.2), 0.35 if numbered else 0.75
    bottom = room if tilted else 0.75
    width = max(left + side + right, 7.2)
    note = "blue: right, orange: wrong; darker: a larger share of the true class"
    canvas = new_canvas(title, note, width=width, height=side + bottom + 0.95)
    ax = add_axes(canvas, left=left, bottom=bottom, right=width - left - side, top=0.95)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    strength = _color_cells(ax, share)
    ax.set_xticks(range(k), names, rotation=90 * tilted, fontsize=size, parse_math=False)
    ax.set_yticks(range(k), names, fontsize=size, parse_math=False)
    name_axes(ax, "predicted class", "true class")
    for row, column in np.ndindex(k, k) if numbered else ():
        if row == column or matrix[row, column] or k <= 5:
            text = f"{matrix[row, column]}\n{share[row, column]:.1%}".replace("%", " %")
            color = "white" if strength[row, column] > 0.6 else STYLE["ink"]
            look = {"ha": "center", "va": "center", "fontsize": min(13, 14 * side / k)}
            say(ax, column, row, text, transform=ax.transData, color=color, **look)
    for row in () if numbered else range(k):
        text = f"{share[row, row]:.0%}".replace("%", " %") if matrix[row].sum() else "none"
        look = {"fontsize": 8, "color": STYLE["muted"], "transform": ax.transData}
        say(ax, k - 0.2, row, text, va="center", **look)
    if not numbered:
        say(ax, 1.005, 1 + 0.12 / side, "recall", color=STYLE["muted"])
    save(canvas, path)


def reliability_png(path: str | Path, *, bins: Sequence[Bin], title: str, note: str) -> None:
    """Draw accuracy over confidence, and under it how many photos each bin has.

    Args:
        path: The PNG to write.
        bins: Those that hold photos.
        title: Heading of the picture.
        note: Line below it.
    """
    canvas = new_canvas(title, note, height=6.2, width=7.2)
    ax = add_axes(canvas, left=0.85, bottom=2.0, right=0.4, top=0.95)
    low, step = (bins[0].start, bins[0].stop - bins[0].start) if bins else (0.0, 1.0)
    middles = [(one.start + one.stop) / 2 for one in bins]
    ax.plot([low, 1], [low, 1], color=STYLE["muted"], lw=1, ls=(0, (4, 3)))
    ax.bar(middles, [one.accuracy for one in bins], 0.92 * step, color=STYLE["faint"])
    confidence, accuracy = [one.confidence for one in bins], [one.accuracy for one in bins]
    ax.vlines(confidence, [one.low for one in bins], [one.high for one in bins],
              color=STYLE["main"], lw=1.5)  # fmt: skip
    ax.plot(confidence, accuracy, "o", color=STYLE["main"], ms=6, clip_on=False)
    ax.set(xlim=(low, 1), ylim=(0, 1.02))
    ax.set_xticklabels([])
    name_axes(ax, "", "accuracy")
    counts = add_axes(canvas, left=0.85, bottom=0.65, right=0.4, top=4.4)
    counts.bar(middles, [one.photos for one in bins], 0.92 * step, color=STYLE["faint"])
    counts.set(xlim=(low, 1))
    counts.set_yscale("symlog", linthresh=1)
    counts.yaxis.set_major_formatter("{x:,.0f}")
    name_axes(counts, "confidence (largest probability)", "photos")
    save(canvas, path)


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
