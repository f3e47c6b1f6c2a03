"""A study and its trials as callbacks are given them, read from the study's slots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna

from optuna_workers.callbacks.info import StudyInfo, TrialInfo
from optuna_workers.masking import without_password, without_passwords
from optuna_workers.plan import Plan
from optuna_workers.space.difference import shown
from optuna_workers.storage import studies
from optuna_workers.storage.retry import patiently
from optuna_workers.storage.slots import ENDED, SLOTS, Claims, read_facts

LONGEST_ERROR = 2000
"""Characters of an error that a slot keeps: its end."""


def describe(plan: Plan, claims: Claims, stopped: str = "") -> StudyInfo:
    """Return a study as it stands.

    Args:
        plan: What the command is about.
        claims: The study's slots.
        stopped: Why no further trial starts although slots are left, or empty.
    """
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
        _trials=lambda: _ended(claims),
    )


def trial_of(row: Any) -> TrialInfo:
    """Return the trial that a slot's row describes."""
    known = read_facts(row)
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


def facts_of(trial: TrialInfo) -> dict[str, Any]:
    """Return what a slot's row keeps of a trial, as JSON values."""
    return {
        "params": dict(trial.params),
        "overrides": without_passwords(trial.overrides),
        "directory": str(trial.directory),
        "values": trial.values,
        "error": without_password(trial.error)[-LONGEST_ERROR:],
        "seconds": trial.seconds,
        "duplicate_of": trial.duplicate_of,
    }


@patiently
def _load(plan: Plan) -> optuna.Study:
    storage = studies.open_storage(plan.url, patient=True)
    return optuna.load_study(study_name=plan.name, storage=storage)


def _ended(claims: Claims) -> list[TrialInfo]:
    rows = claims.rows(SLOTS.c.state.in_(ENDED))
    return [trial_of(row) for row in sorted(rows, key=lambda row: row.trial)]
