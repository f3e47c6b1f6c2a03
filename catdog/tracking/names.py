"""The names of all tags and artifacts: a contract with whoever reads the MLflow store."""

from __future__ import annotations

from collections.abc import Mapping

from catdog.core.paths import without_password
from catdog.core.provenance import Commit, Provenance, threads

# Tags of every run of catdog's.
KIND = "catdog.kind"
"""``run``, ``trial``, ``sweep`` or ``evaluation``."""
COMMAND = "catdog.command"
"""Repeats the run when it is pasted into a shell."""
COMMIT, DIRTY = "catdog.commit", "catdog.dirty"
THREADS = "catdog.threads"
OWNER = "catdog.owner"
"""Names the process which will end a run; a sweep has one more for each command."""
HYDRA_DIR = "hydra.dir"
"""Also a user attribute of Optuna's trial."""

# Tags of runs that have to do with another one.
MODEL, MODEL_RUN = "catdog.model", "catdog.model_run"
"""Of an evaluation: the value of ``--model``, and the run that trained the model."""
DIVERGED = "catdog.diverged"
"""Of a run whose loss became infinite or NaN: the epoch in which it did."""
REPEATS = "catdog.repeats"
"""Of a repeat: the id of the run that it repeats."""
RETRAINED = "catdog.retrained"
"""Of a run on another seed: the id of the trial's run."""

# Tags of a study's run, and of its trials' runs.
STUDY_ID = "catdog.study_id"
"""A study of the same name that is made later gets a run of its own."""
STUDY, TRIAL, STATE = "optuna.study", "optuna.trial", "optuna.state"
BEST_TRIAL, BEST_RUN = "best.trial", "best.run_id"
BEST_PARAMS, BEST_COMMAND = "best.params", "best.command"

# MLflow's own tags.
NOTE = "mlflow.note.content"
"""Shown as a run's description, in Markdown."""
PARENT = "mlflow.parentRunId"
SOURCE_NAME, SOURCE_COMMIT = "mlflow.source.name", "mlflow.source.git.commit"

# How a study and its trials name their runs to each other, through the sweeper.
SHARED_PARENT = "mlflow.parent"
"""Under this name a study's trials are told of their parent run."""
RUN_ID = "mlflow.run_id"
"""User attribute of Optuna's trial, set by the task."""

# Artifacts that are read back.
OVERRIDES, RESOLVED = "config/overrides.yaml", "config/resolved.yaml"
ENVIRONMENT, PATCH = "config/environment.txt", "config/uncommitted.patch"
MANIFEST, PREDICTIONS = "data/manifest.csv", "evaluation/predictions.csv"
CHECKPOINT = "checkpoints/best.keras"
"""The best epoch, end to end."""
BEST = "sweep/best.yaml"
"""A study's winner."""


def run_tags(source: Provenance, state: Commit | None = None) -> dict[str, str]:
    """Return the tags that a run is created with.

    Args:
        source: The command that led to it.
        state: Of the working tree; None if it is not known.

    >>> tags = run_tags(Provenance(["optimizer.lr=0.01"]))
    >>> tags["catdog.kind"], tags["catdog.command"]
    ('run', 'python -m catdog.train optimizer.lr=0.01')
    """
    state = state or Commit()
    known = {
        KIND: source.kind,
        COMMAND: source.command,
        **commit_tags(state),
        SOURCE_COMMIT: state.sha,
        THREADS: str(threads()),
        SOURCE_NAME: "catdog.train",
        NOTE: f"Repeat it with\n\n    {source.command}\n",
        HYDRA_DIR: source.hydra_dir,
        **source.tags,
    }
    return {key: value for key, value in known.items() if value}


def without_passwords(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags that may be logged; those by which runs are found again stay as they are.

    >>> without_passwords({"catdog.command": "x tracking.uri=http://me:secret@host"})
    {'catdog.command': 'x tracking.uri=http://me:***@host'}
    """
    kept = (OWNER, PARENT, STUDY_ID, STUDY, HYDRA_DIR)
    return {
        key: value if key.startswith(kept) else without_password(value)
        for key, value in tags.items()
    }


def commit_tags(state: Commit) -> dict[str, str]:
    """Return the tags that name a commit; outside of git their values are empty.

    >>> commit_tags(Commit("6dd6e1b", dirty=True))["catdog.dirty"]
    'true'
    """
    dirty = str(state.dirty).lower() if state.sha else ""
    return {COMMIT: state.sha, DIRTY: dirty}


def child_tags(shared: Mapping[str, str], study: str, number: int) -> dict[str, str]:
    """Return the tags that a trial's run must be created with.

    A rerun finds the runs of dead trials by them, so they may not come later.

    Args:
        shared: What the callbacks' ``on_study_start`` returned: ``current_trial().shared``.
        study: Optuna's name of the study.
        number: Optuna's number of the trial, from 0.

    >>> child_tags({"mlflow.parent": "5c4b"}, "lr", 3)["optuna.trial"]
    '3'
    """
    tags = {PARENT: shared.get(SHARED_PARENT, ""), STUDY: study, TRIAL: str(number)}
    return {key: value for key, value in tags.items() if value} | {STATE: "RUNNING"}
