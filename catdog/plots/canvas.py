"""The paper under every picture: a heading, margins in inches, quiet axes, texts as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from catdog.plots import layout
from catdog.plots.layout import STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg

DPI = 110


def new_canvas(title: str, note: str, *, height: float, width: float = 9.0) -> FigureCanvasAgg:
    """Return an empty picture with a heading; height and width in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = FigureCanvasAgg(Figure(figsize=(width, height), dpi=DPI, facecolor="white"))
    head: dict[str, Any] = {"fontsize": 12.5, "weight": "bold", "parse_math": False}
    left, text = 0.27 / width, layout.shorten(title, int(width * 8))
    canvas.figure.text(left, 1 - 0.36 / height, text, color=STYLE["ink"], **head)
    canvas.figure.text(left, 1 - 0.6 / height, note, color=STYLE["muted"], fontsize=9)
    return canvas


def add_axes(
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


def name_axes(ax: Axes, x: str, y: str) -> None:
    """Write what the axes show."""
    ax.set_xlabel(x, color=STYLE["muted"], fontsize=10)
    ax.set_ylabel(y, color=STYLE["muted"], fontsize=10)


def say(ax: Axes, x: float, y: float, text: str, **look: Any) -> None:
    """Write a text at a place in shares of the axes, unless ``look`` has another transform."""
    usual: dict[str, Any] = {"fontsize": 9, "color": STYLE["ink"], "transform": ax.transAxes}
    # Names come from users: a pair of dollar signs must not become a formula.
    ax.text(x, y, text, parse_math=False, **(usual | look))


def save(canvas: FigureCanvasAgg, path: str | Path) -> None:
    """Write the PNG."""
    canvas.print_png(str(path), pil_kwargs={"compress_level": 4})
