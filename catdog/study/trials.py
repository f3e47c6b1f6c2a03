"""What a study is made of, as plain data: its trials, the best of them, tables, tags.

Trials are Optuna's frozen ones; nothing of Optuna is imported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from catdog.core import files
from catdog.tracking.names import HYDRA_DIR, RUN_ID


class Trial(Protocol):
    """What is read of a trial, by name as Optuna has it."""

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
    """Return the trials that no other one beats, by number.

    Args:
        trials: With ``number``, ``state`` (Optuna's, or its name) and ``values``.
        directions: ``minimize`` or ``maximize``, one per value.

    Returns:
        The best trial (of equal ones the first), or with several directions the Pareto front.
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
    """Return a state's name: ``COMPLETE``, ``PRUNED``, ``FAIL`` or ``RUNNING``."""
    return str(getattr(trial.state, "name", trial.state))


def progress(trials: Sequence[Any], directions: Sequence[str]) -> dict[str, float]:
    """Return a study's metrics after some trials; with several directions there is no best value.

    Args:
        trials: One per slot that ended.
        directions: One per value.
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
    """Write a row for every trial Optuna knows, the lost ones included.

    Args:
        path: The file to write.
        trials: By number.
        directions: One per value; several give ``value_0``, ``value_1``...
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
    """Return how long a trial took, where it lies, and which slot it filled."""
    known, took = trial.user_attrs, getattr(trial, "duration", None)
    return [
        f"{took.total_seconds():.3f}" if took else "",
        known.get(RUN_ID, ""),
        known.get(HYDRA_DIR) or known.get("directory", ""),
        *(known.get(key, "") for key in ("slot", "attempt", "duplicate_of")),
    ]
