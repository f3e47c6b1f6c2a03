"""A plotly page as plain dictionaries: the page itself, axes, lines, dots, texts and the file.

plotly's figure classes would check every attribute and add a third to the time of a page. plotly
is imported when the first page is saved, so that a trial that draws only PNGs never pays for it.
"""

from __future__ import annotations

import html
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catdog.plots.style import COLORS, shorten

DECADES = {"type": "log", "dtick": 1, "exponentformat": "e", "tickformat": ".0e"}
"""Options of a log axis with ticks at powers of ten."""


def new_page(title: str, note: str, *, height: int) -> dict[str, Any]:
    """Return the layout of an empty page.

    Args:
        title: Heading; shown as it is, though plotly reads some HTML in its texts.
        note: Line below the heading; may be empty.
        height: Height in pixels.
    """
    heading = f"<b>{html.escape(shorten(title, 110))}</b>"
    subtitle = {"text": note, "font": {"size": 12, "color": COLORS["muted"]}}
    return {
        "title": {"text": heading, "x": 0.02, "y": 0.96, "subtitle": subtitle},
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": COLORS["ink"]},
        "height": height,
        "margin": {"l": 70, "r": 40, "t": 110, "b": 60},
        "plot_bgcolor": "white",
        "hovermode": "x unified",
        "showlegend": False,
        "annotations": [],
        "shapes": [],
    }


def axis(title: str, **style: Any) -> dict[str, Any]:
    """Return an axis with a title; ``style`` takes plotly's options."""
    return {
        "title": {"text": title, "font": {"color": COLORS["muted"]}},
        "gridcolor": COLORS["grid"],
        "tickfont": {"color": COLORS["muted"]},
        "zeroline": False,
        **style,
    }


def line(
    x: NDArray[Any], y: NDArray[np.float64], name: str, color: str, *, width: float, form: str
) -> dict[str, Any]:
    """Return a line; ``form`` formats the values that hovering shows, such as ``.4f``."""
    # Lists, because plotly packs arrays in base64, which nobody can read in a stored page.
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x.tolist(),
        "y": y.tolist(),
        "name": name,
        "line": {"color": color, "width": width},
        "hovertemplate": f"%{{y:{form}}}",
    }


def dot(x: float, y: float, color: str) -> dict[str, Any]:
    """Return a single dot with a white rim."""
    marker = {"size": 11, "color": color, "line": {"color": "white", "width": 2}}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [x],
        "y": [y],
        "marker": marker,
        "hoverinfo": "skip",
    }


def text(content: str, x: float, y: float, **style: Any) -> dict[str, Any]:
    """Return a text, placed in fractions of the drawing area unless ``style`` says otherwise."""
    return {
        "text": content,
        "x": x,
        "y": y,
        "xref": "paper",
        "yref": "paper",
        "showarrow": False,
        **style,
    }


def dot_label(
    content: str, x: float, y: float, color: str, place: int, *, near_left: bool
) -> dict[str, Any]:
    """Return the label of a dot on a log axis, with a line between both.

    Args:
        content: The label, as HTML.
        x: Learning rate of the dot.
        y: Loss of the dot.
        color: Of label and line.
        place: Index of the dot; labels of later dots stand further off (near the left edge:
            nearer).
        near_left: Whether the label stands above and right of the dot, not below and left.
    """
    sign = -1 if near_left else 1
    distance = 20 + 18 * (2 - place if near_left else place)
    return text(
        content,
        math.log10(x),
        y,
        xref="x",
        yref="y",
        showarrow=True,
        arrowhead=0,
        arrowwidth=1,
        arrowcolor=color,
        standoff=6,
        ax=-18 * sign,
        ay=distance * sign,
        xanchor="left" if near_left else "right",
        font={"color": color, "size": 13},
        bgcolor="rgba(255,255,255,0.85)",
    )


def panel_domain(number: int) -> dict[str, str]:
    """Return the option that places a text in fractions of panel ``number``, from 1."""
    return {"xref": f"x{number} domain", "yref": f"y{number} domain"}


def add_vertical_line(page: dict[str, Any], x: float, *, panel: int = 1) -> None:
    """Draw a dashed line at ``x`` over the whole height of a panel."""
    style = {"color": COLORS["muted"], "width": 1.2, "dash": "dash"}
    ends = {"x0": x, "x1": x, "y0": 0, "y1": 1, "xref": f"x{panel}", "yref": f"y{panel} domain"}
    page["shapes"].append({"type": "line", "line": style, **ends})


def add_shading(page: dict[str, Any], left: float, right: float, *, panel: int) -> None:
    """Shade the background of a panel from ``left`` to ``right``."""
    style = {"fillcolor": COLORS["grid"], "opacity": 0.5, "line": {"width": 0}, "layer": "below"}
    ends = {"x0": left, "x1": right, "y0": 0, "y1": 1}
    place = {"xref": f"x{panel}", "yref": f"y{panel} domain"}
    page["shapes"].append({"type": "rect", **style, **ends, **place})


def save(path: str | Path, traces: list[dict], page: dict[str, Any], *, name: str) -> None:
    """Write the HTML file, with plotly's JavaScript inside; ``name`` becomes the element's id."""
    from plotly import io

    content = io.to_html(
        {"data": traces, "layout": page},
        config={"displaylogo": False},
        include_plotlyjs=True,
        validate=False,
        div_id=name,
    )
    Path(path).write_text(content, encoding="utf-8")
