"""A study's trials as plain data: the best of them, metrics of progress, a table.

Trials are Optuna's ``FrozenTrial`` or similar; Optuna is not imported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from catdog.core import files
from catdog.tracking.names import HYDRA_DIR, RUN_ID


class Trial(Protocol):
    """The attributes of Optuna's ``FrozenTrial`` that are read."""

    number: int
    params: dict[str, Any]
    user_attrs: dict[str, Any]

    @property
    def state(self) -> Any:
        """Optuna's TrialState."""

    @property
    def values(self) -> Any:
        """One per direction, or None."""


def best(trials: Iterable[Any], directions: Sequence[str]) -> list[Any]:
    """Return the best trials, by number.

    Args:
        trials: Objects with ``number``, ``state`` (Optuna's, or its name) and ``values``.
        directions: ``minimize`` or ``maximize``, one per value.

    Returns:
        The complete trial with the best value, of equal ones the first; with several directions
        all trials of the Pareto front.

    Example:
        >>> from types import SimpleNamespace
        >>> rows = [(0, "COMPLETE", [0.3]), (1, "COMPLETE", [0.2]), (2, "PRUNED", [0.1])]
        >>> trials = [SimpleNamespace(number=n, state=s, values=v) for n, s, v in rows]
        >>> [trial.number for trial in best(trials, ["minimize"])]
        [1]
    """
    signs = [1 if direction == "minimize" else -1 for direction in directions]
    costs = {
        trial.number: (tuple(s * v for s, v in zip(signs, trial.values, strict=True)), trial)
        for trial in trials
        if state_of(trial) == "COMPLETE" and trial.values
    }
    known = [costs[number] for number in sorted(costs)]
    if len(signs) == 1:
        return [min(known, key=lambda pair: pair[0])[1]] if known else []
    points = {cost for cost, _ in known}
    return [trial for cost, trial in known if not any(_beats(other, cost) for other in points)]


def _beats(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


def state_of(trial: Any) -> str:
    """Return the name of a trial's state: ``COMPLETE``, ``PRUNED``, ``FAIL`` or ``RUNNING``."""
    return str(getattr(trial.state, "name", trial.state))


def progress(trials: Sequence[Any], directions: Sequence[str]) -> dict[str, float]:
    """Return a study's metrics: how many trials have which state, and the best value.

    Args:
        trials: Trials that have ended.
        directions: ``minimize`` or ``maximize``, one per value.

    Returns:
        Metrics by name; ``best/value`` only with one direction and a complete trial.
    """
    counts = Counter(map(state_of, trials))
    metrics = {
        "trials/complete": float(counts["COMPLETE"]),
        "trials/pruned": float(counts["PRUNED"]),
        "trials/failed": float(counts["FAIL"]),
    }
    if len(directions) == 1 and (winner := best(trials, directions)):
        metrics["best/value"] = float(winner[0].values[0])
    return metrics


def write_csv(path: Path, trials: Sequence[Any], directions: Sequence[str]) -> None:
    """Write a table with one row for each trial, lost ones included.

    Args:
        path: The CSV file.
        trials: Trials in the order of their numbers.
        directions: One per value; several give the columns ``value_0``, ``value_1``, ...
    """
    several = len(directions) > 1
    values = [f"value_{i}" for i in range(len(directions))] if several else ["value"]
    params = list(dict.fromkeys(name for trial in trials for name in trial.params))
    ends = ["seconds", "run_id", "hydra_dir", "slot", "attempt", "duplicate_of"]
    rows = (
        [
            trial.number,
            state_of(trial),
            *(trial.values or [""] * len(values)),
            *(trial.params.get(name, "") for name in params),
            *_ends(trial),
        ]
        for trial in trials
    )
    files.write_csv(path, ["number", "state", *values, *params, *ends], rows)


def _ends(trial: Any) -> list[object]:
    """Return the last columns of a trial: duration, MLflow run, Hydra folder, slot, attempt."""
    known, took = trial.user_attrs, getattr(trial, "duration", None)
    return [
        f"{took.total_seconds():.3f}" if took else "",
        known.get(RUN_ID, ""),
        known.get(HYDRA_DIR) or known.get("directory", ""),
        *(known.get(key, "") for key in ("slot", "attempt", "duplicate_of")),
    ]
