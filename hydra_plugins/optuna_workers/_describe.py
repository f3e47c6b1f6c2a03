"""What callbacks are told of a study."""

from __future__ import annotations

from typing import Any

import optuna

from hydra_plugins.optuna_workers import _stop, _study
from hydra_plugins.optuna_workers._callbacks import StudyInfo
from hydra_plugins.optuna_workers._claims import ENDED, SLOTS, Claims
from hydra_plugins.optuna_workers._difference import shown
from hydra_plugins.optuna_workers._plan import Plan


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
            _stop.trial_of(row)
            for row in sorted(claims.rows(SLOTS.c.state.in_(ENDED)), key=lambda row: row.trial)
        ],
    )


def _load(plan: Plan) -> Any:
    storage = _study.open_storage(plan.url)
    return optuna.load_study(study_name=plan.name, storage=storage)
