"""The panels of the training curves on an HTML page."""

from __future__ import annotations

from typing import Any

import numpy as np

from catdog.plots import pages
from catdog.plots.layout import Panel
from catdog.plots.style import COLORS, epoch_ticks, format_lr


def draw_panel(
    page: dict[str, Any],
    number: int,
    panel: Panel,
    domain: tuple[float, float],
    form: str,
    style: dict[str, Any],
) -> list[dict[str, Any]]:
    """Lay out one panel over epochs; several series are named at their ends.

    Args:
        page: The page, which receives axes and texts.
        number: Number of the panel, from 1.
        panel: What to draw.
        domain: Left and right end of the panel, as fractions of the drawing area.
        form: Format of the values that hovering shows, such as ``.4f``.
        style: plotly's options for the y axis.

    Returns:
        plotly's traces of the series.
    """
    last = max(len(values) for values in panel.lines.values())
    _add_axes(page, number, last, domain, style)
    bold = {"xanchor": "left", "yanchor": "bottom", "yshift": 22, "font": {"size": 14}}
    heading = pages.text(f"<b>{panel.name}</b>", 0, 1, **bold, **pages.panel_domain(number))
    page["annotations"].append(heading)
    place = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
    place["mode"] = "lines+markers" if last <= 30 else "lines"
    epochs = np.arange(1, last + 1)
    if len(panel.lines) > 1:
        page["annotations"] += _end_names(panel, last, number)
    return [
        pages.line(epochs, values, name, COLORS[name], width=2.4, form=form) | place
        for name, values in panel.lines.items()
    ]


def lr_axis(panel: Panel) -> dict[str, Any]:
    """Return the options of the learning rate's axis."""
    if panel.log:
        return pages.DECADES | {"dtick": "D2"}
    known = np.unique(panel.lines["lr"][np.isfinite(panel.lines["lr"])])
    if known.size == 1:
        # plotly shows a constant between -1 and 1.
        ticks = {"tickvals": [known[0]], "ticktext": [format_lr(known[0])]}
        return {"range": (0, 2 * known[0]), **ticks}
    return {"exponentformat": "e", "tickformat": ".1e"}


def _add_axes(
    page: dict[str, Any],
    number: int,
    last: int,
    domain: tuple[float, float],
    style: dict[str, Any],
) -> None:
    """Add the axes of a panel: epochs 1 to ``last`` on x, ``style`` on y."""
    edge = max(0.06 * (last - 1), 0.3)
    span = {"domain": domain, "anchor": f"y{number}", "range": (1 - edge, last + edge)}
    hover = {"unifiedhovertitle": {"text": "epoch <b>%{x}</b>"}}
    page[f"xaxis{number}"] = pages.axis(
        "epoch", tickvals=epoch_ticks(last), tickangle=0, **span, **hover
    )
    page[f"yaxis{number}"] = pages.axis("", anchor=f"x{number}", **style)


def _end_names(panel: Panel, last: int, number: int) -> list[dict[str, Any]]:
    """Return the names of the series beside their ends, moved apart where two series meet."""
    known = np.concatenate([values[np.isfinite(values)] for values in panel.lines.values()])
    ends = panel.ends()
    meet = len(ends) == 2 and ends[1][0] - ends[0][0] < 0.08 * np.ptp(known)
    return [
        pages.text(
            f"<b>{name}</b>",
            last,
            end,
            xref=f"x{number}",
            yref=f"y{number}",
            xanchor="left",
            xshift=8,
            yshift=(16 * place - 8) * meet,
            font={"color": COLORS[name]},
        )
        for place, (end, name) in enumerate(ends)
    ]
