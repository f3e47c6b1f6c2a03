"""The names of all tags and artifacts: a contract with whoever reads the MLflow store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from catdog.core.paths import without_password
from catdog.core.provenance import Commit, Provenance, threads
from catdog.errors import shown

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
MARK, STAR = "best", "★"
"""Seen in MLflow's table: a study's run names its best trial, whose own run has the star alone."""

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

MOST_NAME, MOST_VALUE = 90, 24
"""Most characters of a trial's name, and of a value in it."""


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


def trial_name(number: int, params: Mapping[str, object]) -> str:
    """Return the name of a trial: its number and its swept values, short enough to read.

    Args:
        number: Optuna's number of the trial, from 0.
        params: The swept values by key.

    Example:
        >>> trial_name(7, {"optimizer.lr": 0.003, "head.dropout": 0.25, "head": "mlp"})
        't07 lr=0.003 dropout=0.25 head=mlp'
    """
    return shown(f"t{number:02} {swept(params)}".rstrip(), MOST_NAME)


def swept(params: Mapping[str, object]) -> str:
    """Return swept values in one line, without what the keys and figures do not need.

    Example:
        >>> swept({"optimizer.lr": 7.7849e-4, "head.name": None})
        'lr=0.000778 head.name=null'
    """
    keys = short_keys(params)
    return " ".join(f"{shown(keys[key])}={_short(value)}" for key, value in params.items())


def short_keys(params: Mapping[str, object]) -> dict[str, str]:
    """Return the last part of each key where no other key ends so; ``name`` says nothing alone.

    Example:
        >>> list(short_keys(dict.fromkeys(["optimizer.lr", "head.units", "data.name"])).values())
        ['lr', 'units', 'data.name']
        >>> list(short_keys(dict.fromkeys(["optimizer.lr", "finetune.lr"])).values())
        ['optimizer.lr', 'finetune.lr']
    """
    ends = {key: key.rpartition(".")[2] for key in params}
    often = Counter([*ends.values(), "name"])
    return {key: key if often[end] > 1 else end for key, end in ends.items()}


def _short(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.3g}" if isinstance(value, float) else shown(value, MOST_VALUE)
