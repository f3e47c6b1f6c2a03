"""The pictures that answer the mouse: HTML pages that open without a network.

Same data and colours as their PNG twins in `catdog.plots`. Figures are plain dictionaries written
by plotly.io: plotly's figure classes would check each attribute and add a third to a page's time.
plotly is imported by the first page, so a trial that draws only PNGs never pays for it.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from catdog.plots import layout
from catdog.plots.layout import STYLE, Point, rate

DECADES = {"type": "log", "dtick": 1, "exponentformat": "e", "tickformat": ".0e"}
LEGEND = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"}
SYMBOLS = {
    "complete": ("circle", 9),
    "pruned": ("triangle-down-open", 9),
    "failed": ("x-thin-open", 9),
    "best": ("star", 17),
}
"""Of trials, as plotly calls them, with their size in pixels."""


def lr_range_html(
    path: str | Path,
    *,
    lr: ArrayLike,
    loss: ArrayLike,
    smooth: ArrayLike,
    suggestions: Mapping[str, float | None],
    chosen: float | None,
    title: str,
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
    """
    page = _layout(title, layout.LR_NOTE, height=560)
    hover = {"unifiedhovertitle": {"text": "learning rate <b>%{x:.2e}</b>"}, "hoverformat": ".2e"}
    page["xaxis"] = _axis("learning rate (log scale)", **DECADES, **hover)
    page["yaxis"] = _axis(layout.LOSS)
    x, y = layout.finite(lr, smooth)
    if not x.size:
        page["annotations"] = [_note("no finite loss at any learning rate", 0.5, 0.5)]
        return _write(path, [], page, name="lr-range")
    page["yaxis"]["range"] = layout.loss_window(loss, smooth)
    traces = [
        _line(*layout.finite(lr, loss), "each batch", STYLE["faint"], width=1.4, form=".4f"),
        _line(x, y, "smoothed", STYLE["main"], width=3, form=".4f"),
    ]
    for place, (name, value, height) in enumerate(layout.on_curve(suggestions, x, y)):
        right = math.log(value / x[0]) < 0.2 * math.log(x[-1] / x[0])
        color = STYLE.get(name, STYLE["ink"])
        traces.append(_dot(value, height, color))
        label = f"<b>{html.escape(name)} {rate(value)}</b>"
        page["annotations"].append(_pointer(label, value, height, color, place, right=right))
    if layout.drawable(chosen):
        _draw_upright(page, chosen)
        label = f"<b>optimizer.lr {rate(chosen)}</b>"
        # On a log axis plotly places notes by exponent, but lines by value.
        page["annotations"].append(_note(label, math.log10(chosen), 1, xref="x", yanchor="bottom"))
    _write(path, traces, page, name="lr-range")


def lr_vs_loss_html(
    path: str | Path, *, points: Sequence[Point], metric: str, maximize: bool, title: str
) -> None:
    """Write a study as a page: hovering over a trial shows its number and all swept values.

    Args:
        path: The HTML file to write.
        points: The trials, at least one.
        metric: What the objective is called.
        maximize: Whether a larger objective is better.
        title: Heading of the page.
    """
    cloud = layout.cloud(points, maximize=maximize)
    page = _layout(title, "on the edge: trials without a value", height=560)
    page |= {"hovermode": "closest", "showlegend": True, "legend": LEGEND}
    page["xaxis"] = _axis("learning rate (log scale)", range=cloud.x, **DECADES)
    scale = {"type": "log", "range": cloud.y} if cloud.log else {"range": cloud.y}
    page["yaxis"] = _axis(html.escape(metric) + " (log scale)" * cloud.log, **scale)
    traces = [_trials(look, cloud) for look in layout.LOOKS if cloud.points[look]]
    _write(path, traces, page, name="lr-vs-loss")


def _trials(look: str, cloud: layout.Cloud) -> dict[str, Any]:
    placed = cloud.points[look]
    symbol, size = SYMBOLS[look]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{look} ({len(placed)})",
        "x": [point.lr for point, _ in placed],
        "y": [10**height if cloud.log else height for _, height in placed],
        "text": [_describe(point) for point, _ in placed],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"symbol": symbol, "size": size, "color": STYLE[look]},
        "cliponaxis": False,
    }


def _describe(point: Point) -> str:
    value = "no value" if point.value is None else f"{point.value:.6g}"
    lines = [f"{name} = {value}" for name, value in point.params.items()]
    shown = [html.escape(layout.shorten(line, 80)) for line in lines]
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
        history: As `figures.panels` takes it.
        best_epoch: Counted from 1; outside the history it is not marked.
        title: Heading of the page.
        first_stage: Epochs before the second stage, whose ground is shaded; 0 for one stage.
    """
    page = _layout(title, "", height=440)
    loss, accuracy, lr = layout.panels(history, best_epoch)
    zero = {"rangemode": "tozero"} if loss.from_zero else {}
    traces = [
        *_draw_panel(page, 1, loss, (0.0, 0.33), ".4f", zero),
        *_draw_panel(page, 2, accuracy, (0.42, 0.75), ".2f", {}),
        *_draw_panel(page, 3, lr, (0.85, 1.0), ".2e", _rate_axis(lr)),
    ]
    for number, panel in enumerate((loss, accuracy, lr), start=1):
        if first_stage:
            _shade(page, first_stage + 0.5, len(history["lr"]) + 0.5, axis=number)
        if panel.note:
            _draw_upright(page, best_epoch, axis=number)
            look = {"xanchor": "left", "yanchor": "bottom", "font": {"color": STYLE["muted"]}}
            page["annotations"].append(
                _note(panel.note, 0, 1, yshift=4, **look, **_domain(number))
            )
    _write(path, traces, page, name="curves")


def _layout(title: str, note: str, *, height: int) -> dict[str, Any]:
    # plotly reads a subset of HTML in its texts; a run's name is no markup.
    heading = f"<b>{html.escape(layout.shorten(title, 110))}</b>"
    subtitle = {"text": note, "font": {"size": 12, "color": STYLE["muted"]}}
    return {
        "title": {"text": heading, "x": 0.02, "y": 0.96, "subtitle": subtitle},
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": STYLE["ink"]},
        "height": height,
        "margin": {"l": 70, "r": 40, "t": 110, "b": 60},
        "plot_bgcolor": "white",
        "hovermode": "x unified",
        "showlegend": False,
        "annotations": [],
        "shapes": [],
    }


def _axis(title: str, **look: Any) -> dict[str, Any]:
    return {
        "title": {"text": title, "font": {"color": STYLE["muted"]}},
        "gridcolor": STYLE["grid"],
        "tickfont": {"color": STYLE["muted"]},
        "zeroline": False,
        **look,
    }


def _line(
    x: NDArray[Any], y: NDArray[np.float64], name: str, color: str, *, width: float, form: str
) -> dict[str, Any]:
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


def _draw_panel(
    page: dict[str, Any],
    number: int,
    panel: layout.Panel,
    domain: tuple[float, float],
    form: str,
    look: dict[str, Any],
) -> list[dict[str, Any]]:
    """Lay out one panel over epochs and return its traces, named at their ends if several."""
    last = max(len(values) for values in panel.lines.values())
    edge = max(0.06 * (last - 1), 0.3)
    span = {"domain": domain, "anchor": f"y{number}", "range": (1 - edge, last + edge)}
    hover = {"unifiedhovertitle": {"text": "epoch <b>%{x}</b>"}}
    page[f"xaxis{number}"] = _axis(
        "epoch", tickvals=layout.epoch_ticks(last), tickangle=0, **span, **hover
    )
    page[f"yaxis{number}"] = _axis("", anchor=f"x{number}", **look)
    bold = {"xanchor": "left", "yanchor": "bottom", "yshift": 22, "font": {"size": 14}}
    page["annotations"].append(_note(f"<b>{panel.name}</b>", 0, 1, **bold, **_domain(number)))
    traces = []
    for name, values in panel.lines.items():
        trace = _line(np.arange(1, last + 1), values, name, STYLE[name], width=2.4, form=form)
        place = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
        traces.append(trace | place | {"mode": "lines+markers" if last <= 30 else "lines"})
    if len(panel.lines) > 1:
        page["annotations"] += _end_names(panel, last, number)
    return traces


def _end_names(panel: layout.Panel, last: int, number: int) -> list[dict[str, Any]]:
    known = np.concatenate([values[np.isfinite(values)] for values in panel.lines.values()])
    ends = panel.ends()
    meet = len(ends) == 2 and ends[1][0] - ends[0][0] < 0.08 * np.ptp(known)
    return [
        _note(
            f"<b>{name}</b>",
            last,
            end,
            xref=f"x{number}",
            yref=f"y{number}",
            xanchor="left",
            xshift=8,
            yshift=(16 * place - 8) * meet,
            font={"color": STYLE[name]},
        )
        for place, (end, name) in enumerate(ends)
    ]


def _rate_axis(panel: layout.Panel) -> dict[str, Any]:
    if panel.log:
        return DECADES | {"dtick": "D2"}
    known = np.unique(panel.lines["lr"][np.isfinite(panel.lines["lr"])])
    if known.size == 1:
        # plotly shows a constant between -1 and 1.
        return {"range": (0, 2 * known[0]), "tickvals": [known[0]], "ticktext": [rate(known[0])]}
    return {"exponentformat": "e", "tickformat": ".1e"}


def _dot(x: float, y: float, color: str) -> dict[str, Any]:
    marker = {"size": 11, "color": color, "line": {"color": "white", "width": 2}}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [x],
        "y": [y],
        "marker": marker,
        "hoverinfo": "skip",
    }


def _note(text: str, x: float, y: float, **look: Any) -> dict[str, Any]:
    """Place a text in fractions of the drawing area, or as `look` says."""
    return {
        "text": text,
        "x": x,
        "y": y,
        "xref": "paper",
        "yref": "paper",
        "showarrow": False,
        **look,
    }


def _pointer(
    text: str, x: float, y: float, color: str, place: int, *, right: bool
) -> dict[str, Any]:
    """Label a dot from below left (near the left edge: above right), each a step further off."""
    sign = -1 if right else 1
    away = 20 + 18 * (2 - place if right else place)
    return _note(
        text,
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
        ay=away * sign,
        xanchor="left" if right else "right",
        font={"color": color, "size": 13},
        bgcolor="rgba(255,255,255,0.85)",
    )


def _domain(number: int) -> dict[str, str]:
    return {"xref": f"x{number} domain", "yref": f"y{number} domain"}


def _draw_upright(page: dict[str, Any], x: float, *, axis: int = 1) -> None:
    line = {"color": STYLE["muted"], "width": 1.2, "dash": "dash"}
    ends = {"x0": x, "x1": x, "y0": 0, "y1": 1, "xref": f"x{axis}", "yref": f"y{axis} domain"}
    page["shapes"].append({"type": "line", "line": line, **ends})


def _shade(page: dict[str, Any], left: float, right: float, *, axis: int) -> None:
    look = {"fillcolor": STYLE["grid"], "opacity": 0.5, "line": {"width": 0}, "layer": "below"}
    ends = {"x0": left, "x1": right, "y0": 0, "y1": 1}
    place = {"xref": f"x{axis}", "yref": f"y{axis} domain"}
    page["shapes"].append({"type": "rect", **look, **ends, **place})


def _write(path: str | Path, traces: list[dict], page: dict[str, Any], *, name: str) -> None:
    from plotly import io

    figure = {"data": traces, "layout": page}
    text = io.to_html(
        figure,
        config={"displaylogo": False},
        include_plotlyjs=True,
        validate=False,
        div_id=name,
    )
    Path(path).write_text(text, encoding="utf-8")
