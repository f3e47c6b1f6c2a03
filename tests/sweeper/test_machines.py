"""The same command on two machines: one PostgreSQL, one MLflow server, one study, one parent."""

from __future__ import annotations

import mlflow
import optuna
import pytest
from conftest import Lab, succeeded

pytestmark = pytest.mark.slow

N_TRIALS = 8


def test_two_commands_share_one_study(lab: Lab, postgres: str, mlflow_server: str) -> None:
    words = [
        "-m", f"hydra.sweeper.storage={postgres}", "hydra.sweeper.study_name=shared",
        f"hydra.sweeper.n_trials={N_TRIALS}",
        *lab.overrides(
            optimizer__lr="tag(log,interval(1e-4,1e-1))", head__dropout="interval(0,0.5)",
            lr_range__enabled="false", tracking__uri="null", trainer__epochs=2,
        ),
    ]  # fmt: skip
    server = {"MLFLOW_TRACKING_URI": mlflow_server}
    machines = [lab.start(f"machine{i}", *words, **server) for i in range(2)]
    for machine in machines:
        succeeded(machine)

    trials = optuna.load_study(study_name="shared", storage=postgres).get_trials()
    assert sorted(trial.user_attrs["slot"] for trial in trials) == list(range(N_TRIALS))
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    folders = {trial.user_attrs["hydra.dir"].split("/")[-3] for trial in trials}
    assert folders == {"machine0", "machine1"}, "one machine did all the work"

    client = mlflow.MlflowClient(mlflow_server)
    experiment = client.get_experiment_by_name("catdog")
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if run.data.tags["catdog.kind"] == "sweep"]
    children = {run.data.tags["optuna.trial"]: run for run in runs if run is not parent}
    assert len(runs) == N_TRIALS + 1 and len(children) == N_TRIALS
    assert {run.info.status for run in runs} == {"FINISHED"}
    for trial in trials:
        run = children[str(trial.number)]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.info.run_id == trial.user_attrs["mlflow.run_id"]
        assert run.data.metrics["best/val_loss"] == trial.value
        assert run.data.params["optimizer.lr"] == str(trial.params["optimizer.lr"])
    assert parent.data.metrics["best/value"] == min(trial.value for trial in trials)
    (winner,) = [run for run in children.values() if run.outputs.model_outputs]
    assert winner.info.run_id == parent.data.tags["best.run_id"]
    kept = {file.path for file in client.list_artifacts(parent.info.run_id, "sweep")}
    assert {"sweep/best.yaml", "sweep/lr_vs_loss.html", "sweep/contour.png"} <= kept
