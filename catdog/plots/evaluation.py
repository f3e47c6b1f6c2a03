"""Pictures of an evaluation as PNG files: the confusion matrix and the reliability diagram."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from catdog.core import tables
from catdog.plots.canvas import add_axes, add_text, label_axes, new_canvas, save
from catdog.plots.style import COLORS, drawable, shorten_all

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from catdog.evaluation.breakdown import Bin

MAX_NUMBERED, MAX_NAMED = 15, 40
"""Largest number of classes whose cells have room for counts, and whose rows have for names."""

PAIRS = 25
"""Most pairs of classes that are listed beside a matrix without names."""

NOTE = "blue: right, orange: wrong; darker: a larger share of the true class"
NUMBERS = "; numbers: as in predictions.csv"


def confusion_png(
    path: str | Path, *, matrix: NDArray[np.integer], classes: Sequence[str], title: str
) -> None:
    """Draw a confusion matrix: by count and share up to 15 classes, by colour and recall beyond.

    From 41 classes on it has numbers instead of names, and a list of what is most often confused.

    Args:
        path: The PNG file to write.
        matrix: (k, k) number of photos by true class (row) and predicted class (column).
        classes: k names.
        title: Heading of the picture.
    """
    k = len(classes)
    if k > MAX_NAMED:
        _many_png(path, matrix, classes, title)
        return
    numbered, tilted = k <= MAX_NUMBERED, k > 4
    names, note = _labels(classes, 20)
    size = 10 if numbered else 8
    margin = 0.0084 * size * max(map(tables.width, names)) + 0.65
    side, left, right = min(4.9 + 0.18 * k, 7.6), max(margin, 1.2), 0.35 if numbered else 0.75
    bottom = margin if tilted else 0.75
    width = max(left + side + right, 7.2)
    canvas = new_canvas(title, note, width=width, height=side + bottom + 0.95)
    ax = add_axes(canvas, left=left, bottom=bottom, right=width - left - side, top=0.95)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    strength = _color_cells(ax, share)
    ax.set_xticks(range(k), names, rotation=90 * tilted, fontsize=size, parse_math=False)
    ax.set_yticks(range(k), names, fontsize=size, parse_math=False)
    label_axes(ax, "predicted class", "true class")
    if numbered:
        _write_counts(ax, matrix, share, strength, fontsize=min(13, 14 * side / k))
    else:
        _write_recalls(ax, matrix, share)
        add_text(ax, 1.005, 1 + 0.12 / side, "recall", color=COLORS["muted"])
    save(canvas, path)


def _labels(classes: Sequence[str], length: int) -> tuple[list[str], str]:
    """Return names that can be drawn, or numbers, and the note that explains them."""
    names = [name if drawable(name) == name else f"class {k}" for k, name in enumerate(classes, 1)]
    short = shorten_all(names, length)
    numbered = names != list(classes) or any(
        label.endswith(")") and "… (" in label for label in short
    )
    return short, NOTE + NUMBERS * numbered


def _many_png(
    path: str | Path, matrix: NDArray[np.integer], classes: Sequence[str], title: str
) -> None:
    """Draw a matrix of many classes by colour alone, and list the pairs with most mistakes."""
    k, side = len(classes), 7.6
    canvas = new_canvas(title, NOTE + NUMBERS, width=15.2, height=side + 1.7)
    ax = add_axes(canvas, left=0.85, bottom=0.75, right=15.2 - 0.85 - side, top=0.95)
    _color_cells(ax, matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1))
    ticks = [0, *range(9, k, 10)] if k <= 200 else [0, *range(99, k, 100)]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(ticks, [f"{tick + 1}" for tick in ticks], fontsize=8)
    label_axes(ax, "predicted class", "true class")
    confused = matrix * ~np.eye(k, dtype=bool)
    order = np.argsort(-confused, axis=None, kind="stable")[:PAIRS]
    pairs = [(int(i) // k, int(i) % k) for i in order if confused.flat[i]]
    heading = (
        "most often confused: photos, true class → predicted class" if pairs else "no mistakes"
    )
    place = {"transform": canvas.figure.dpi_scale_trans, "va": "top"}
    add_text(ax, 8.9, side + 0.75, heading, weight="bold", **place)
    names, _ = _labels(classes, 28)
    for line, (true, predicted) in enumerate(pairs):
        y = side + 0.75 - 0.29 * (line + 1)
        text = f"{true + 1} {names[true]} → {predicted + 1} {names[predicted]}"
        add_text(ax, 9.3, y, f"{confused[true, predicted]:,}", ha="right", **place)
        add_text(ax, 9.4, y, text, **place)
    save(canvas, path)


def _color_cells(ax: Axes, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colour the diagonal blue and mistakes orange; return the strength of each cell's colour."""
    from matplotlib.colors import to_rgb

    right = np.eye(len(share), dtype=bool)
    # Mistakes are rare: the cube root makes 1 % of a class visible.
    strength = 0.9 * np.where(right, share, np.cbrt(share))
    full = np.where(right[..., None], to_rgb(COLORS["main"]), to_rgb(COLORS["wrong"]))
    mix = strength[..., None]
    ax.imshow((1 - mix) * to_rgb(COLORS["empty"]) + mix * full, interpolation="nearest")
    ax.grid(False)
    if len(share) > MAX_NAMED:
        return strength  # lines would cover the cells
    between, ends = np.arange(len(share) - 1) + 0.5, (-0.5, len(share) - 0.5)
    style: dict[str, Any] = {"color": "white", "lw": 3 if len(share) < 8 else 1}
    ax.hlines(between, *ends, **style)
    ax.vlines(between, *ends, **style)
    return strength


def _write_counts(
    ax: Axes,
    matrix: NDArray[np.integer],
    share: NDArray[np.float64],
    strength: NDArray[np.float64],
    *,
    fontsize: float,
) -> None:
    """Write count and share into each cell; with many classes, not into empty ones."""
    k = len(matrix)
    for row, column in np.ndindex(k, k):
        if row == column or matrix[row, column] or k <= 5:
            text = f"{matrix[row, column]}"
            if matrix[row].sum():  # else there is no share
                text += f"\n{share[row, column]:.1%}".replace("%", " %")
            color = "white" if strength[row, column] > 0.6 else COLORS["ink"]
            style = {"ha": "center", "va": "center", "fontsize": fontsize, "color": color}
            add_text(ax, column, row, text, transform=ax.transData, **style)


def _write_recalls(ax: Axes, matrix: NDArray[np.integer], share: NDArray[np.float64]) -> None:
    """Write the recall of each class at the end of its row."""
    for row in range(len(matrix)):
        text = f"{share[row, row]:.0%}".replace("%", " %") if matrix[row].sum() else "none"
        style = {"fontsize": 8, "color": COLORS["muted"], "transform": ax.transData}
        add_text(ax, len(matrix) - 0.2, row, text, va="center", **style)


def reliability_png(path: str | Path, *, bins: Sequence[Bin], title: str, note: str) -> None:
    """Draw a reliability diagram: accuracy over confidence, and below it the photos per bin.

    Args:
        path: The PNG file to write.
        bins: Bins that hold photos, by increasing confidence.
        title: Heading of the picture.
        note: Line below it.
    """
    canvas = new_canvas(title, note, height=6.2, width=7.2)
    ax = add_axes(canvas, left=0.85, bottom=2.0, right=0.4, top=0.95)
    low, step = (bins[0].start, bins[0].stop - bins[0].start) if bins else (0.0, 1.0)
    middles = [(b.start + b.stop) / 2 for b in bins]
    ax.plot([low, 1], [low, 1], color=COLORS["muted"], lw=1, ls=(0, (4, 3)))
    ax.bar(middles, [b.accuracy for b in bins], 0.92 * step, color=COLORS["faint"])
    confidence, accuracy = [b.confidence for b in bins], [b.accuracy for b in bins]
    ax.vlines(confidence, [b.low for b in bins], [b.high for b in bins],
              color=COLORS["main"], lw=1.5)  # fmt: skip
    ax.plot(confidence, accuracy, "o", color=COLORS["main"], ms=6, clip_on=False)
    ax.set(xlim=(low, 1), ylim=(0, 1.02))
    ax.set_xticklabels([])
    label_axes(ax, "", "accuracy")
    counts = add_axes(canvas, left=0.85, bottom=0.65, right=0.4, top=4.4)
    counts.bar(middles, [b.photos for b in bins], 0.92 * step, color=COLORS["faint"])
    counts.set(xlim=(low, 1))
    counts.set_yscale("symlog", linthresh=1)
    counts.yaxis.set_major_formatter("{x:,.0f}")
    label_axes(counts, "confidence (largest probability)", "photos")
    save(canvas, path)
