"""Eight at once on the same database: none is locked, none is refused, nothing is lost."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
from conftest import succeeded
from optuna.trial import TrialState
from tests.stage import Stage

pytestmark = pytest.mark.slow

LOGGED = Path(__file__).parent / "app/logged.py"

N_TRIALS, EPOCHS = 100, 5  # as app/logged.py logs them


def test_eight_workers_share_two_sqlite_files(stage: Stage) -> None:
    uri = f"sqlite:///{stage.folder}/mlflow.db"
    sweep = stage.start(
        "x=interval(0,1)", "hydra/sweeper/sampler=random", "hydra.sweeper.study_name=s",
        f"hydra.sweeper.n_trials={N_TRIALS}", "hydra.sweeper.n_jobs=8", f"tracking.uri={uri}",
        app=LOGGED,
    )  # fmt: skip
    said = succeeded(sweep, timeout=200)
    assert "locked" not in said.out + said.err

    trials = stage.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * N_TRIALS
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("catdog")
    runs = {
        run.data.tags.get("optuna.trial", "parent"): run
        for run in client.search_runs([experiment.experiment_id])
    }
    assert len(runs) == N_TRIALS + 1
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    for trial in trials:
        run, x = runs[str(trial.number)], trial.params["x"]
        history = client.get_metric_history(run.info.run_id, "loss")
        found = sorted((point.step, point.value) for point in history)
        assert found == [(epoch, x + epoch) for epoch in range(EPOCHS)]
        assert run.data.params == {"x": str(x)} and run.data.metrics["lr"] == 0.1
    parent = runs["parent"]
    assert parent.data.metrics["trials/complete"] == N_TRIALS
    assert parent.data.metrics["best/value"] == min(trial.value for trial in trials)
