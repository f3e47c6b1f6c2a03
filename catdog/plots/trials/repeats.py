"""Settings that a study tried on several seeds: the mean and the spread of their results."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from catdog.core import files
from catdog.plots.canvas import add_axes, label_axes, new_canvas, save
from catdog.plots.style import COLORS, shorten
from catdog.plots.trials.rows import Row, Trials
from catdog.tracking.names import swept

SEEDS = ("seed", "data.split_seed")
"""Parameters that repeat a setting instead of changing it."""

MOST = 30
"""Largest number of settings in the picture: the best."""


@dataclass(frozen=True)
class Setting:
    """A setting, and what came of it on several seeds.

    Attributes:
        params: The swept values by key, without ``SEEDS``.
        trials: Numbers of its complete trials, at least two.
        values: The objective of each of these.
        tried: Number of its trials, those that were pruned or failed included.

    Example:
        >>> one = Setting({"optimizer.lr": 0.01}, [0, 2], [0.25, 0.75], 3)
        >>> one.name, one.mean, round(one.spread, 3)
        ('lr=0.01', 0.5, 0.354)
    """

    params: Mapping[str, object]
    trials: Sequence[int]
    values: Sequence[float]
    tried: int

    @property
    def name(self) -> str:
        """Its values, in one line."""
        return swept(self.params)

    @property
    def mean(self) -> float:
        """Mean of the objective."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float:
        """Sample standard deviation of the objective."""
        return statistics.stdev(self.values)


def repeated(study: Trials) -> list[Setting]:
    """Return the settings with at least two complete trials on different seeds, the best first.

    A trial with the values of an earlier one, or with all its params, is no repeat: it says
    nothing about the spread.

    Args:
        study: The trials.

    Example:
        >>> on = lambda number, seed, value: Row(
        ...     number, "", "COMPLETE", [value], {"optimizer.lr": 0.01, "seed": seed})
        >>> rows = [on(0, 1, 0.2), on(1, 2, 0.4), on(2, 2, 0.4)]
        >>> found = repeated(Trials("s", ["loss"], ["minimize"], rows))
        >>> [(one.name, one.trials, round(one.mean, 3)) for one in found]
        [('lr=0.01', [0, 1], 0.3)]
    """
    groups: dict[str, dict[str, Row]] = {}
    for row in study.rows:
        if not row.copied:
            setting = str({key: row.params[key] for key in sorted(row.params) if key not in SEEDS})
            groups.setdefault(setting, {}).setdefault(str(sorted(row.params.items())), row)
    found = [one for rows in groups.values() if (one := _setting(list(rows.values())))]
    return sorted(found, key=lambda one: -one.mean if study.maximize else one.mean)


def _setting(rows: Sequence[Row]) -> Setting | None:
    done = [row for row in rows if row.state == "COMPLETE" and math.isfinite(row.values[0])]
    if len(done) < 2:
        return None
    params = {key: value for key, value in rows[0].params.items() if key not in SEEDS}
    values = [float(row.values[0]) for row in done]
    return Setting(params, [row.number for row in done], values, len(rows))


def own_names(settings: Sequence[Setting]) -> list[str]:
    """Return the name of each setting, without the values that all of them have.

    Args:
        settings: At least one.

    Example:
        >>> params = [{"optimizer.lr": lr, "head": "mlp"} for lr in (0.1, 0.2)]
        >>> own_names([Setting(one, [], [], 0) for one in params])
        ['lr=0.1', 'lr=0.2']
    """
    if len(settings) == 1:
        return [settings[0].name or "all trials"]
    shared = set.intersection(*(set(one.params.items()) for one in settings))
    own = [[pair for pair in one.params.items() if pair not in shared] for one in settings]
    return [swept(dict(pairs)) for pairs in own]


def write_csv(path: Path, settings: Sequence[Setting]) -> None:
    """Write a table with one row for each setting.

    Args:
        path: The CSV file.
        settings: At least one.
    """
    params = list(dict.fromkeys(key for one in settings for key in one.params))
    rows = (
        [
            *(one.params.get(key, "") for key in params),
            one.mean, one.spread, min(one.values), max(one.values), len(one.values), one.tried,
            " ".join(map(str, one.trials)),
        ]
        for one in settings
    )  # fmt: skip
    ends = ["mean", "sd", "least", "most", "complete", "tried", "trials"]
    files.write_csv(path, [*params, *ends], rows)


def draw(path: Path, study: Trials, settings: Sequence[Setting]) -> None:
    """Draw each setting's values, their mean and their standard deviation, the best at the top.

    Args:
        path: The PNG file to write.
        study: The study.
        settings: At least one, the best first.
    """
    shown = settings[:MOST]
    left_out = f"; the best {MOST} of {len(settings)}" if len(settings) > MOST else ""
    note = f"dot: one trial, bar: mean and standard deviation{left_out}"
    height = 1.9 + 0.28 * len(shown)
    canvas = new_canvas(f"{study.study}: repeats of one setting", note, height=height)
    ax = add_axes(canvas, left=3.4, bottom=0.65, right=0.3, top=0.9)
    label_axes(ax, study.metrics[0], "")
    for place, one in enumerate(shown):
        color = COLORS["main" if place else "best"]
        ax.errorbar(one.mean, place, xerr=one.spread, fmt="|", ms=13, mew=2.2, lw=2, color=color)
        ax.plot(one.values, [place] * len(one.values), "o", ms=4, color=color, alpha=0.45, mew=0)
    named = zip(own_names(shown), shown, strict=True)
    names = [f"{shorten(name, 44)} ({len(one.values)})" for name, one in named]
    ax.set_yticks(range(len(shown)), names, parse_math=False)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    save(canvas, path)
