"""An empty PNG picture: a heading, margins in inches, axes without frames.

Texts come from users, so none is read as a formula, and long ones lose their middle.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from catdog.plots.style import COLORS, drawable, fonts, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg

DPI = 110
"""Resolution of all pictures drawn by matplotlib."""


def new_canvas(title: str, note: str, *, height: float, width: float = 9.0) -> FigureCanvasAgg:
    """Return an empty picture with a heading.

    Args:
        title: Heading.
        note: Line below the heading; may be empty.
        height: Height in inches.
        width: Width in inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    _use_fonts()
    canvas = FigureCanvasAgg(Figure(figsize=(width, height), dpi=DPI, facecolor="white"))
    heading: dict[str, Any] = {"fontsize": 12.5, "weight": "bold", "parse_math": False}
    left, text = 0.27 / width, shorten(drawable(title), int(width * 8))
    canvas.figure.text(left, 1 - 0.36 / height, text, color=COLORS["ink"], **heading)
    canvas.figure.text(left, 1 - 0.6 / height, drawable(note), color=COLORS["muted"], fontsize=9)
    return canvas


def _use_fonts() -> None:
    """Ask the fonts of ``style.fonts`` in turn, if there are more than matplotlib's own."""
    import matplotlib

    if len(found := fonts()) > 1:
        matplotlib.rcParams["font.family"] = [font.family for font in found]


def add_axes(
    canvas: FigureCanvasAgg, *, left: float, bottom: float, right: float, top: float
) -> Axes:
    """Add axes, given their distances in inches from the edges of the picture."""
    width, height = canvas.figure.get_size_inches()
    box = (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height)
    ax = canvas.figure.add_axes(box)
    ax.spines[:].set_visible(False)
    ax.grid(color=COLORS["grid"], lw=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(length=0, pad=5, labelsize=9, labelcolor=COLORS["muted"])
    return ax


def label_axes(ax: Axes, x: str, y: str) -> None:
    """Label the x and the y axis."""
    ax.set_xlabel(x, color=COLORS["muted"], fontsize=10)
    ax.set_ylabel(y, color=COLORS["muted"], fontsize=10)


def add_text(ax: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Write a text into axes.

    Args:
        ax: The axes.
        x: Horizontal place as a fraction of the axes, unless ``style`` has a ``transform``.
        y: Vertical place, likewise.
        text: Shown as it is: a pair of dollar signs does not make a formula.
        **style: Options of matplotlib's ``Axes.text``.
    """
    default: dict[str, Any] = {"fontsize": 9, "color": COLORS["ink"], "transform": ax.transAxes}
    ax.text(x, y, drawable(text), parse_math=False, **(default | style))


def save(canvas: FigureCanvasAgg, path: str | Path) -> None:
    """Write the PNG file."""
    canvas.print_png(str(path), pil_kwargs={"compress_level": 4})
