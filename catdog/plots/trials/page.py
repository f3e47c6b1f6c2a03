"""A page of a study: its trials as a table, their curves, their results; no server, no network.

MLflow's own page is slow above a hundred runs and draws at most 500.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from catdog.core.files import write_atomically
from catdog.errors import shown
from catdog.plots.style import COLORS, shorten
from catdog.plots.trials.curves import window
from catdog.plots.trials.repeats import Setting
from catdog.plots.trials.rows import Row, Trials

FOLDER = Path(__file__).parent
"""Here lie the page's HTML and its JavaScript."""

RUN_ID = "RUN_ID"
"""Stands in an address for the id of a run."""


def write(
    path: Path,
    study: Trials,
    settings: Sequence[Setting] = (),
    *,
    facts: Iterable[str] = (),
    runs: str = "",
    hint: str = "",
) -> None:
    """Write the page.

    Args:
        path: The HTML file.
        study: The trials.
        settings: Those that were tried on several seeds.
        facts: Sentences below the heading; shown as they are.
        runs: Address of a run's page in MLflow, with ``RUN_ID`` for its id; empty for no links.
        hint: Sentence below the table.
    """
    content = {
        "metrics": [shown(name) for name in study.metrics],
        "maximize": study.maximize,
        "window": window(study),
        "params": [shown(key) for key in study.params],
        "rows": [_row(row, study.params) for row in study.rows],
        "settings": [_setting(one) for one in settings],
        "facts": [shown(fact) for fact in facts],
        "runs": runs if runs.startswith(("http://", "https://")) else "",
        "hint": shown(hint),
    }
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    parts = {
        "title": html.escape(f"{shorten(study.study, 80)}: {len(study.rows):,} trials"),
        "colors": " ".join(f"--{name}: {color};" for name, color in COLORS.items()),
        "script": (FOLDER / "page.js").read_text(encoding="utf-8"),
        "data": text.replace("<", "\\u003c"),  # or a name could end the script
    }
    template = (FOLDER / "page.html").read_text(encoding="utf-8")
    filled = re.sub("@(title|colors|script|data)@", lambda found: parts[found[1]], template)
    write_atomically(path, filled.encode())


def _row(row: Row, params: Sequence[str]) -> dict[str, Any]:
    steps = sorted(row.curve)
    return {
        "number": row.number,
        "name": shown(row.name),
        "outcome": row.outcome,
        "values": [_plain(value) for value in row.values],
        "params": [_plain(row.params[key]) if key in row.params else None for key in params],
        "steps": steps,
        "curve": [_plain(row.curve[step]) for step in steps],
        "seconds": None if row.seconds is None else round(row.seconds, 1),
        "run_id": row.run_id,
    }


def _setting(one: Setting) -> dict[str, Any]:
    return {
        "name": shown(one.name),
        "mean": one.mean,
        "sd": one.spread,
        "complete": len(one.values),
        "tried": one.tried,
        "trials": " ".join(f"t{number:02}" for number in one.trials),
    }


def _plain(value: object) -> object:
    """Return a value as JSON has it: six digits are enough to draw, and NaN is no number."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return value if isinstance(value, int) else shown(value)
