"""The plots of runs and studies as interactive HTML pages, which open without a network.

They show the same data in the same colours as the PNG files of ``catdog.plots.png``.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from catdog.plots import layout, pages
from catdog.plots.html_panels import draw_panel, lr_axis
from catdog.plots.scatter import OUTCOMES, Point, Scatter, place_trials
from catdog.plots.style import COLORS, format_lr, shorten

LEGEND = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"}
SYMBOLS = {
    "complete": ("circle", 9),
    "pruned": ("triangle-down-open", 9),
    "failed": ("x-thin-open", 9),
    "best": ("star", 17),
}
"""Marker of a trial by its outcome: plotly's symbol, size in pixels."""


def lr_range_html(
    path: str | Path,
    *,
    lr: ArrayLike,
    loss: ArrayLike,
    smooth: ArrayLike,
    suggestions: Mapping[str, float | None],
    chosen: float | None,
    title: str,
    nothing: str = "",
) -> None:
    """Write the learning rate range test as a page: hovering shows learning rate and loss.

    Args:
        path: The HTML file to write.
        lr: (n,) learning rates, increasing, above 0.
        loss: (n,) loss of each batch; non-finite values are left out.
        smooth: (n,) smoothed loss; non-finite values are left out.
        suggestions: Learning rate by name; None, NaN and values outside the test are not drawn.
        chosen: The learning rate in use, or None.
        title: Heading of the page.
        nothing: Why nothing is suggested; empty if something is.
    """
    page = pages.new_page(title, layout.lr_note(nothing), height=560)
    hover = {"unifiedhovertitle": {"text": "learning rate <b>%{x:.2e}</b>"}, "hoverformat": ".2e"}
    page["xaxis"] = pages.axis("learning rate (log scale)", **pages.DECADES, **hover)
    page["yaxis"] = pages.axis(layout.LOSS)
    x, y = layout.finite_points(lr, smooth)
    if not x.size:
        page["annotations"] = [pages.text("no finite loss at any learning rate", 0.5, 0.5)]
        return pages.save(path, [], page, name="lr-range")
    page["yaxis"]["range"] = layout.loss_window(loss, smooth)
    raw_x, raw_y = layout.finite_points(lr, loss)
    traces = [
        pages.line(raw_x, raw_y, "each batch", COLORS["faint"], width=1.4, form=".4f"),
        pages.line(x, y, "smoothed", COLORS["main"], width=3, form=".4f"),
    ]
    for place, mark in enumerate(layout.place_on_curve(suggestions, x, y)):
        near_left = math.log(mark.at / x[0]) < 0.2 * math.log(x[-1] / x[0])
        color, label = COLORS.get(mark.name, COLORS["ink"]), f"<b>{html.escape(mark.text)}</b>"
        traces.append(pages.dot(mark.at, mark.loss, color))
        page["annotations"].append(
            pages.dot_label(label, mark.at, mark.loss, color, place, near_left=near_left)
        )
    if layout.is_drawable(chosen):
        pages.add_vertical_line(page, chosen)
        # On a log axis plotly places texts by exponent, but lines by value.
        label = f"<b>optimizer.lr {format_lr(chosen)}</b>"
        above = pages.text(label, math.log10(chosen), 1, xref="x", yanchor="bottom")
        page["annotations"].append(above)
    pages.save(path, traces, page, name="lr-range")


def lr_vs_loss_html(
    path: str | Path, *, points: Sequence[Point], metric: str, maximize: bool, title: str
) -> None:
    """Write a study as a page: hovering over a trial shows its number and all swept values.

    Args:
        path: The HTML file to write.
        points: The trials, at least one.
        metric: Name of the objective.
        maximize: Whether a larger objective is better.
        title: Heading of the page.
    """
    scatter = place_trials(points, maximize=maximize)
    page = pages.new_page(title, "on the edge: trials without a value", height=560)
    page |= {"hovermode": "closest", "showlegend": True, "legend": LEGEND}
    page["xaxis"] = pages.axis("learning rate (log scale)", range=scatter.x, **pages.DECADES)
    scale = {"type": "log", "range": scatter.y} if scatter.log else {"range": scatter.y}
    page["yaxis"] = pages.axis(html.escape(metric) + " (log scale)" * scatter.log, **scale)
    traces = [_trials(outcome, scatter) for outcome in OUTCOMES if scatter.points[outcome]]
    pages.save(path, traces, page, name="lr-vs-loss")


def _trials(outcome: str, scatter: Scatter) -> dict[str, Any]:
    placed = scatter.points[outcome]
    symbol, size = SYMBOLS[outcome]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{outcome} ({len(placed)})",
        "x": [point.lr for point, _ in placed],
        "y": [10**height if scatter.log else height for _, height in placed],
        "text": [_hover_text(point) for point, _ in placed],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"symbol": symbol, "size": size, "color": COLORS[outcome]},
        "cliponaxis": False,
    }


def _hover_text(point: Point) -> str:
    value = "no value" if point.value is None else f"{point.value:.6g}"
    lines = [f"{name} = {value}" for name, value in point.params.items()]
    shown = [html.escape(shorten(line, 80)) for line in lines]
    return "<br>".join([f"<b>trial {point.number}</b>: {value} ({point.state})", *shown])


def curves_html(
    path: str | Path,
    *,
    history: Mapping[str, Sequence[float]],
    best_epoch: int,
    title: str,
    first_stage: int = 0,
) -> None:
    """Write loss, accuracy and learning rate over the epochs as a page.

    Args:
        path: The HTML file to write.
        history: As ``catdog.plots.layout.panels`` takes it.
        best_epoch: Best epoch, from 1; not marked if it lies outside the history.
        title: Heading of the page.
        first_stage: Number of epochs before the second stage, whose background is shaded; 0 if
            there is no second stage.
    """
    page = pages.new_page(title, "", height=440)
    loss, accuracy, lr = layout.panels(history, best_epoch)
    zero = {"rangemode": "tozero"} if loss.from_zero else {}
    traces = [
        *draw_panel(page, 1, loss, (0.0, 0.33), ".4f", zero),
        *draw_panel(page, 2, accuracy, (0.42, 0.75), ".2f", {}),
        *draw_panel(page, 3, lr, (0.85, 1.0), ".2e", lr_axis(lr)),
    ]
    for number, panel in enumerate((loss, accuracy, lr), start=1):
        if first_stage:
            pages.add_shading(page, first_stage + 0.5, len(history["lr"]) + 0.5, panel=number)
        if panel.note:
            pages.add_vertical_line(page, best_epoch, panel=number)
            style = {"xanchor": "left", "yanchor": "bottom", "font": {"color": COLORS["muted"]}}
            page["annotations"].append(
                pages.text(panel.note, 0, 1, yshift=4, **style, **pages.panel_domain(number))
            )
    pages.save(path, traces, page, name="curves")
