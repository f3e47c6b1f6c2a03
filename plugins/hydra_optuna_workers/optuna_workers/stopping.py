"""When a sweep ends before its slots are filled."""

from __future__ import annotations

from optuna_workers.plan import Plan
from optuna_workers.storage.slots import ENDED, SLOTS, Claims, read_facts


class Mismatch(Exception):
    """The task returns another number of values than there are directions."""


def reason(claims: Claims, plan: Plan) -> str:
    """Return why no further trial may start, or an empty text."""
    sweeper = plan.sweeper
    if plan.deadline is not None and claims.now() > plan.deadline:
        return f"hydra.sweeper.timeout={sweeper.timeout:g} s has passed"
    failed = claims.counts().get("FAIL", 0)
    if has_too_many(failed, plan):
        return (
            f"{failed} of {plan.n_trials} trials failed, more than "
            f"hydra.sweeper.max_failure_rate={sweeper.max_failure_rate:g} allows"
        )
    if sweeper.patience is not None and _is_stale(claims, plan):
        return f"no better trial in the last {sweeper.patience} (hydra.sweeper.patience)"
    return ""


def has_too_many(failed: int, plan: Plan) -> bool:
    """Return whether a sweep may not go on after so many failures."""
    return failed > plan.sweeper.max_failure_rate * plan.n_trials


def _is_stale(claims: Claims, plan: Plan) -> bool:
    """Return whether the last ``patience`` trials were no better than one before."""
    rows = claims.rows(SLOTS.c.state.in_(ENDED))
    ended = sorted(rows, key=lambda row: row.ended)
    best, since = None, 0
    sign = 1 if plan.directions[0] == "minimize" else -1
    for row in ended:
        values = read_facts(row)["values"]
        since += 1
        if row.state == "COMPLETE" and values and (best is None or sign * values[0] < best):
            best, since = sign * values[0], 0
    return since >= plan.sweeper.patience
