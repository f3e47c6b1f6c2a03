"""A study's best trial in ``sweep/best.yaml``, written at a sweep's end, read by ``+best=``."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from optuna_workers.masking import without_passwords

from catdog.cli import stored
from catdog.core import commands, plain_yaml
from catdog.core.provenance import Provenance
from catdog.errors import DIVERGED, SHOWN, ConfigError, DataError, listed
from catdog.tracking import Tracker, names, past_run, run_lookup
from catdog.tracking.past_run import StoredRun


@dataclass(frozen=True)
class Winner:
    """A study's best trial, or one of its Pareto front.

    Attributes:
        trial: Optuna's number of the trial.
        run_id: MLflow's id of its run.
        values: The objective for each direction.
        params: The swept values by key.
        command: The command that repeats the run.
        overrides: The overrides of that command, fixed and swept.
    """

    trial: int
    run_id: str
    values: Sequence[float]
    params: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    overrides: Sequence[str] = ()


def write(path: Path, name: str, winners: Sequence[Winner]) -> None:
    """Write the best trial of a study, or several of them as a list ``solutions``.

    They are several if the study has several directions, or its trials saw several data sets.

    Args:
        path: The YAML file.
        name: Name of the study.
        winners: At least one trial.
    """
    rows = [without_passwords(asdict(winner)) for winner in winners]
    for row in rows:
        row["overrides"], values = list(row["overrides"]), list(row.pop("values"))
        row |= {"value": values[0]} if len(values) == 1 else {"values": values}
    single = len(rows) == 1 and "value" in rows[0]
    content = {"study": name} | (rows[0] if single else {"solutions": rows})
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=99)
    path.write_text(text, encoding="utf-8")


def overrides_of(study_name: str, tracker: Tracker, besides: Collection[str] = ()) -> list[str]:
    """Return the overrides of a study's best trial, fixed and swept.

    Args:
        study_name: Name of the study, or a unique prefix of it; of several studies with the same
            name the latest is taken.
        tracker: The MLflow store and experiment that the study was logged to.
        besides: Keys that are left out, because the command line names them.

    Raises:
        ConfigError: there is no such study, or it has no single best trial, or that diverged.
        DataError: the file holds what a store may not say.
    """
    parent = parent_run_of(study_name, tracker)
    name = parent.tags[names.STUDY]
    run = tracker.open(parent.run_id)
    try:
        text = run.text(names.BEST, most=plain_yaml.MOST_BYTES)
    except FileNotFoundError:
        if names.BEST_COMMAND in parent.tags:
            raise ConfigError(
                "+best", study_name, f"{run.lacks(names.BEST)}; put it back"
            ) from None
        state = parent.status.lower()
        raise ConfigError(
            "+best", study_name, f"{name} ({state}) has no finished trial that could be the best",
            tracker.how_to_browse(parent.run_id).splitlines()[0],
        ) from None  # fmt: skip
    place = f"{names.BEST} of study {name}"
    content = stored.content(text, place)
    rows = _solutions(content)
    read = [stored.overrides(row.get("overrides"), place, tracker.uri, besides) for row in rows]
    if not rows:
        raise DataError(place, "names no best trial", "It is written again at the sweep's end")
    if "solutions" in content:
        trials = ", ".join(str(row.get("trial")) for row in rows)
        why = "has several directions" if "values" in rows[0] else "compares several data sets"
        raise ConfigError(
            "+best", study_name,
            f"{name} {why}, so its best trials are a choice: {trials}",
            Provenance(overrides=read[0]).command,
        )  # fmt: skip
    if run_lookup.has_diverged(str(content.get("run_id", "")), tracker):
        raise ConfigError(
            "+best", study_name, f"the best trial of {name} is none: {DIVERGED}",
            f"python -m catdog.promote --study {name} --retrain 1",  # which leaves such trials out
        )  # fmt: skip
    return past_run.at_present(read[0], tracker.uri)


def _solutions(content: Any) -> list[dict[str, Any]]:
    """Return what a file says of each of the best trials; nothing if it is no such file."""
    known = content if isinstance(content, dict) else {}
    rows = known["solutions"] if "solutions" in known else [known]
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def parent_run_of(study_name: str, tracker: Tracker, option: str = "+best") -> StoredRun:
    """Return a study's run.

    Args:
        study_name: Name of the study, or a unique prefix of it; of several studies with the same
            name the latest is taken.
        tracker: The MLflow store and experiment.
        option: Where the name was given, for messages.

    Raises:
        ConfigError: there is no such study, or several names start so.
    """
    studies = run_lookup.studies(tracker)
    known, fitting = list(studies), run_lookup.matching(study_name, studies)
    if len(fitting) == 1:
        return studies[fitting[0]]
    where = f"experiment {tracker.experiment} of {tracker.shown_uri}"
    if fitting:
        found = f"a prefix of {len(fitting)} studies in {where}: {listed(fitting)}"
        raise ConfigError(option, study_name, found, _chosen(option, fitting[0]))
    if not known:
        raise ConfigError(
            option, study_name, f"no study was logged to {where}",
            "python -m catdog.train -m optimizer.lr=1e-4,1e-3,1e-2",
        )  # fmt: skip
    near = difflib.get_close_matches(study_name, known, n=SHOWN, cutoff=0.5)
    some = f"the nearest: {listed(near)}" if near else f"the latest: {listed(known)}"
    fix = _chosen(option, (near or known)[0])
    raise ConfigError(option, study_name, f"no such study in {where}; {some}", fix)


def _chosen(option: str, study: str) -> str:
    """Return what chooses a study: an override, or a command's option."""
    if option.startswith("--"):
        return commands.command(option, study)
    return commands.command(commands.override(option, study))
