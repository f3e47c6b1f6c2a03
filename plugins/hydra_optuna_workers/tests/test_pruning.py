"""Pruners end hopeless trials early; what a task reports reaches Optuna."""

from __future__ import annotations

import pytest
from optuna.trial import TrialState

from tests.stage import Stage

STEPS = 9
SWEEP = (
    "x=interval(0,10)", f"steps={STEPS}", "hydra.sweeper.n_trials=12", "hydra.sweeper.seed=1",
    "hydra/sweeper/sampler=random", "hydra.sweeper.study_name=s", "hydra.sweeper.isolation=none",
)  # fmt: skip


@pytest.mark.parametrize(
    ("pruner", "options"),
    [
        ("median", ["n_startup_trials=2"]),
        pytest.param("percentile", ["n_startup_trials=2"], marks=pytest.mark.slow),
        ("hyperband", []),
        pytest.param("hyperband", [f"max_resource={STEPS}"], marks=pytest.mark.slow),
        pytest.param("successive_halving", [], marks=pytest.mark.slow),
        ("threshold", ["upper=5"]),
    ],
    ids=str,
)
def test_hopeless_trials_are_pruned(stage: Stage, pruner: str, options: list[str]) -> None:
    settings = [f"hydra.sweeper.pruner.{option}" for option in options]
    stage.run(*SWEEP, f"hydra/sweeper/pruner={pruner}", *settings)
    trials = stage.trials()
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    whole = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    assert pruned and whole and len(pruned) + len(whole) == len(trials) == 12
    assert min(trial.params["x"] for trial in trials) in {trial.params["x"] for trial in whole}
    for trial in trials:
        assert trial.intermediate_values[0] == trial.params["x"] + 1
        assert trial.last_step == STEPS - 1 or trial in pruned
    reports = len(stage.lines("step"))
    assert reports == sum(len(trial.intermediate_values) for trial in trials) < 12 * STEPS


@pytest.mark.parametrize(
    "pruner",
    [
        ["hydra/sweeper/pruner=none"],
        # what is reported always improves
        ["hydra/sweeper/pruner=patient", "hydra.sweeper.pruner.wrapped=hyperband"],
    ],
    ids=["none", "patient"],
)
def test_who_is_patient_prunes_nothing_that_improves(stage: Stage, pruner: list[str]) -> None:
    stage.run(*SWEEP, *pruner)
    assert {trial.state for trial in stage.trials()} == {TrialState.COMPLETE}
    assert len(stage.lines("step")) == 12 * STEPS


def test_with_several_directions_reports_are_not_used(stage: Stage) -> None:
    stage.run(*SWEEP, "does=two", "hydra.sweeper.direction=[minimize,maximize]")
    trials = stage.trials()
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert all(trial.values == [1.0, 2.0] and not trial.intermediate_values for trial in trials)
