"""The learning curves of all trials of a study in one picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from catdog.plots.canvas import add_axes, add_text, label_axes, new_canvas, save
from catdog.plots.scatter import OUTCOMES
from catdog.plots.style import COLORS, decade_ticks, epoch_ticks, spans_decade
from catdog.plots.trials.rows import Row, Trials

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW = 30
"""Up to this number of curves each is drawn strongly; of more only the best stands out."""


def window(study: Trials) -> tuple[float, float, bool]:
    """Choose the bounds of the objective's axis: all but the worst twentieth of the values.

    A training that diverged would press all others into a line.

    Args:
        study: The trials.

    Returns:
        The lower and the upper bound, and whether the axis is logarithmic.

    Example:
        >>> rows = [Row(0, "", "COMPLETE", curve={k: 0.5 + 1 / k for k in range(1, 40)}),
        ...         Row(1, "", "FAIL", curve={1: 9e9})]
        >>> low, high, log = window(Trials("", ["loss"], ["minimize"], rows))
        >>> round(low, 2), round(high, 2), log
        (0.49, 1.06, False)
    """
    values = np.array([value for row in study.rows for value in row.curve.values()], float)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0, False
    ends = (0.05, 1.0) if study.maximize else (0.0, 0.95)
    low, high = (float(end) for end in np.quantile(values, ends))
    log = spans_decade(np.array([low, high]))
    edge = 0.08 * (np.log10(high / low) if log else high - low) or 0.1 * abs(high) or 0.1
    return (low / 10**edge, high * 10**edge, True) if log else (low - edge, high + edge, False)


def draw(path: Path, study: Trials) -> bool:
    """Draw the objective of every trial by epoch.

    Args:
        path: The PNG file to write.
        study: The trials.

    Returns:
        Whether there was a curve; without any nothing is written.
    """
    rows = [row for row in study.rows if row.curve]
    if not rows:
        return False
    low, high, log = window(study)
    note = (
        f"{len(rows):,} of {len(study.rows):,} trials reported their epochs; star: the best epoch"
    )
    canvas = new_canvas(f"{study.study}: learning curves of all trials", note, height=5.0)
    ax = add_axes(canvas, left=0.85, bottom=0.65, right=0.85, top=1.05)
    label_axes(ax, "epoch", study.metrics[0] + " (log scale)" * log)
    last = max(max(row.curve) for row in rows)
    _bound(ax, last, (low, high), log)
    for outcome in OUTCOMES:
        some = [row for row in rows if row.outcome == outcome]
        _draw_outcome(ax, outcome, some, log, few=len(rows) <= FEW, maximize=study.maximize)
    legend = ax.legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=len(OUTCOMES), frameon=False, fontsize=9,
        labelcolor=COLORS["muted"], handlelength=1.2, borderaxespad=0.1,
    )  # fmt: skip
    for handle in filter(None, legend.legend_handles):
        handle.set(alpha=1, linewidth=2)
    save(canvas, path)
    return True


def _bound(ax: Axes, last: int, bounds: tuple[float, float], log: bool) -> None:
    edge = max(0.02 * (last - 1), 0.3)
    ax.set_xlim(1 - edge, last + edge)
    ax.set_xticks(epoch_ticks(last))
    low, high = np.log10(bounds) if log else bounds
    ax.set_ylim(low, high)
    if log:
        ticks = decade_ticks(low, high)
        ax.set_yticks(ticks, [f"{10**tick:.3g}" for tick in ticks])


def _draw_outcome(
    ax: Axes, outcome: str, rows: Sequence[Row], log: bool, *, few: bool, maximize: bool
) -> None:
    """Draw the curves of one outcome as one collection; their ends have markers."""
    if not rows:
        return
    from matplotlib.collections import LineCollection

    best = outcome == "best"
    style = {"lw": 2.6 if best else 1.4 if few else 0.8, "color": COLORS[outcome]}
    drawn = [_points(row.curve.items(), log) for row in rows]
    lines = LineCollection(
        drawn, label=f"{outcome} ({len(rows)})", alpha=1 if best else 0.75 if few else 0.35,
        zorder=4 if best else 2 + (outcome == "complete"), **style,
    )  # fmt: skip
    ax.add_collection(lines, autolim=False)
    drawn = [points for points in drawn if len(points)]
    if best:
        _draw_best(ax, drawn, rows, max if maximize else min)
        return
    ends = np.array([points[-1] for points in drawn]).reshape(-1, 2)
    marker = {"pruned": "v", "failed": "x"}.get(outcome, "o")
    size, alpha = (4.5, 0.9) if few else (2.5, 0.5)
    ax.plot(*ends.T, marker, ms=size, color=COLORS[outcome], mew=1, zorder=3, alpha=alpha)


def _draw_best(
    ax: Axes, drawn: Sequence[NDArray[np.float64]], rows: Sequence[Row], best: Callable[..., Any]
) -> None:
    """Mark the best epoch of the best trials; a single one is named at its end."""
    tops = [best(points, key=lambda point: point[1]) for points in drawn]
    places, color = np.array(tops).reshape(-1, 2).T, COLORS["best"]
    ax.plot(*places, "*", ms=14, color=color, mec="white", zorder=5)
    if len(rows) == len(drawn) == 1:
        x, y = ax.transLimits.transform(drawn[0][-1])
        style: dict[str, Any] = {"va": "center", "weight": "bold", "color": color}
        add_text(ax, x + 0.012, y, f"t{rows[0].number:02}", **style)


def _points(curve: Iterable[tuple[int, float]], log: bool) -> NDArray[np.float64]:
    """Return (n, 2) epochs and finite values, or their exponents of ten."""
    points = np.array(sorted(curve), float).reshape(-1, 2)
    if log:
        points = points[points[:, 1] > 0]
        points[:, 1] = np.log10(points[:, 1])
    return points[np.isfinite(points[:, 1])]
