"""What callbacks are told of a study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna

from optuna_workers import study_info
from optuna_workers.callbacks import StudyInfo, TrialInfo
from optuna_workers.plan import Plan
from optuna_workers.space.difference import shown
from optuna_workers.storage import study
from optuna_workers.storage.slots import ENDED, SLOTS, Claims


def describe(plan: Plan, claims: Claims, stopped: str = "") -> StudyInfo:
    """Return what callbacks are told of a study."""
    parameters = plan.space.canonical()
    return StudyInfo(
        name=plan.name,
        identity=plan.identity,
        storage=plan.url,
        directory=plan.directory,
        directions=plan.directions,
        n_trials=plan.n_trials,
        parameters=parameters,
        space={name: shown(known) for name, known in parameters.items()},
        overrides=plan.space.fixed,
        config=plan.config,
        shared=dict(plan.shared),
        finished=claims.ended() >= plan.n_trials,
        stopped=stopped,
        _load=lambda: _load(plan),
        _trials=lambda: [
            study_info.trial_of(row)
            for row in sorted(claims.rows(SLOTS.c.state.in_(ENDED)), key=lambda row: row.trial)
        ],
    )


def _load(plan: Plan) -> Any:
    storage = study.open_storage(plan.url)
    return optuna.load_study(study_name=plan.name, storage=storage)


def facts_of(row: Any) -> dict[str, Any]:
    """Return what a slot's row keeps as JSON."""
    empty: dict[str, Any] = {"params": {}, "overrides": [], "directory": "", "values": None}
    return {**empty, **json.loads(row.facts or "{}")}


def trial_of(row: Any) -> TrialInfo:
    """Return the trial that a slot's row tells of."""
    known = facts_of(row)
    return TrialInfo(
        number=row.trial,
        slot=row.slot,
        attempt=row.attempt,
        params=known["params"],
        overrides=tuple(known["overrides"]),
        directory=Path(known["directory"]),
        state=row.state if row.state in ENDED else None,
        values=known["values"],
        error=known.get("error", ""),
        seconds=known.get("seconds", 0.0),
        duplicate_of=known.get("duplicate_of"),
    )
