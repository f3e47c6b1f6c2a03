"""When a sweep ends before its slots are filled, and what the slots' rows say."""

from __future__ import annotations

from optuna_workers.plan import Plan
from optuna_workers.storage.slots import ENDED, SLOTS, Claims
from optuna_workers.study_info import facts_of


class Mismatch(Exception):
    """The task returns another number of values than there are directions."""


def reason(claims: Claims, plan: Plan) -> str:
    """Return why no further trial may start, or an empty text."""
    sweeper = plan.sweeper
    if plan.deadline is not None and claims.now() > plan.deadline:
        return f"hydra.sweeper.timeout={sweeper.timeout:g} s has passed"
    failed = claims.counts().get("FAIL", 0)
    if failed > sweeper.max_failure_rate * plan.n_trials:
        return too_many_failures(failed, plan)
    if sweeper.patience is not None and _is_stale(claims, plan):
        return f"no better trial in the last {sweeper.patience} (hydra.sweeper.patience)"
    return ""


def too_many_failures(failed: int, plan: Plan) -> str:
    """Return the message of a sweep that failed."""
    rate = plan.sweeper.max_failure_rate
    return (
        f"{failed} of {plan.n_trials} trials failed, more than "
        f"hydra.sweeper.max_failure_rate={rate:g} allows"
    )


def _is_stale(claims: Claims, plan: Plan) -> bool:
    """Return whether the last ``patience`` trials brought nothing better."""
    rows = claims.rows(SLOTS.c.state.in_(ENDED))
    ended = sorted(rows, key=lambda row: row.ended)
    best, since = None, 0
    sign = 1 if plan.directions[0] == "minimize" else -1
    for row in ended:
        values = facts_of(row)["values"]
        since += 1
        if row.state == "COMPLETE" and values and (best is None or sign * values[0] < best):
            best, since = sign * values[0], 0
    return since >= plan.sweeper.patience
