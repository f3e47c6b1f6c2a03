"""The names of tags and artifacts, which other programs read: a contract."""

from __future__ import annotations

from collections.abc import Mapping

NOTE = "mlflow.note.content"
"""Tag that MLflow shows as a run's description, in Markdown."""

KIND, WINNER = "catdog.kind", "best.run_id"
"""Tags: what a run is; of a study's run, its best trial's."""

PARENT, STUDY, TRIAL, STATE = "mlflow.parentRunId", "optuna.study", "optuna.trial", "optuna.state"
"""Tags that tie a trial's run to its study; `child_tags` gives all of them."""

SHARED_PARENT = "mlflow.parent"
"""Under this name a study's trials are told of their parent run."""

RUN_ID, HYDRA_DIR = "mlflow.run_id", "hydra.dir"
"""User attributes of Optuna's trials, set by the task."""


def child_tags(shared: Mapping[str, str], study: str, number: int) -> dict[str, str]:
    """Return the tags that a trial's run must be created with.

    A rerun finds the runs of dead trials by them, so they may not come later.

    Args:
        shared: What the callbacks' ``on_study_start`` returned: ``current_trial().shared``.
        study: Optuna's name of the study.
        number: Optuna's number of the trial.
    """
    tags = {PARENT: shared.get(SHARED_PARENT, ""), STUDY: study, TRIAL: str(number)}
    return {key: value for key, value in tags.items() if value} | {STATE: "RUNNING"}
