"""``sweep/best.yaml``: the winner of a study, written when a sweep ends, read by ``+best=``."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from catdog.errors import SHOWN, ConfigError, listed
from catdog.tracking import Tracker, names, run_lookup
from catdog.tracking.past_run import StoredRun


@dataclass(frozen=True)
class Winner:
    """A study's best trial, or one of its Pareto front.

    Attributes:
        trial: Optuna's number.
        run_id: MLflow's.
        values: One per direction.
        params: The swept values.
        command: Repeats the trial's run.
        overrides: What the command is made of, fixed and swept.
    """

    trial: int
    run_id: str
    values: Sequence[float]
    params: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    overrides: Sequence[str] = ()


def write(path: Path, name: str, winners: Sequence[Winner]) -> None:
    """Write the winner of a study; several, of a study with several directions, as a list.

    Args:
        path: The YAML file to write.
        name: The study's.
        winners: At least one.
    """
    rows = [asdict(winner) for winner in winners]
    for row in rows:
        row["overrides"], values = list(row["overrides"]), list(row.pop("values"))
        row |= {"value": values[0]} if len(values) == 1 else {"values": values}
    content = {"study": name} | (rows[0] if "value" in rows[0] else {"solutions": rows})
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=99)
    path.write_text(text, encoding="utf-8")


def overrides_of(study_name: str, tracker: Tracker) -> list[str]:
    """Return the overrides of a study's best trial: fixed ones and swept ones.

    Args:
        study_name: The study's name, or a beginning that no other study has. Of several studies
            with the same name the latest counts.
        tracker: The store and experiment that the study was logged to.

    Raises:
        ConfigError: there is no such study, or no single winner in it.
    """
    parent = parent_run_of(study_name, tracker)
    name = parent.tags[names.STUDY]
    try:
        text = tracker.open(parent.run_id).text(names.BEST)
    except FileNotFoundError:
        state = parent.status.lower()
        raise ConfigError(
            "+best", study_name, f"{name} ({state}) has no finished trial that could be the best",
            tracker.how_to_browse(parent.run_id).splitlines()[0],
        ) from None  # fmt: skip
    content = yaml.safe_load(text)
    if "solutions" in content:
        trials = ", ".join(str(row["trial"]) for row in content["solutions"])
        raise ConfigError(
            "+best", study_name,
            f"{name} has several directions, so its best trials are a choice: {trials}",
            content["solutions"][0]["command"],
        )  # fmt: skip
    return [str(override) for override in content["overrides"]]


def parent_run_of(asked: str, tracker: Tracker) -> StoredRun:
    """Find a study's run: the latest of that very name, else of the only name that fits.

    Raises:
        ConfigError: there is none, or several begin so.
    """
    studies = run_lookup.studies(tracker)
    known, fitting = list(studies), run_lookup.matching(asked, studies)
    if len(fitting) == 1:
        return studies[fitting[0]]
    where = f"experiment {tracker.experiment} of {tracker.shown_uri}"
    if fitting:
        found = f"the beginning of {len(fitting)} studies in {where}: {listed(fitting)}"
        raise ConfigError("+best", asked, found, f"+best={fitting[0]}")
    if not known:
        raise ConfigError(
            "+best", asked, f"no study was logged to {where}",
            "python -m catdog.train -m optimizer.lr=1e-4,1e-3,1e-2",
        )  # fmt: skip
    near = difflib.get_close_matches(asked, known, n=SHOWN, cutoff=0.5)
    some = f"the nearest: {listed(near)}" if near else f"the latest: {listed(known)}"
    raise ConfigError(
        "+best", asked, f"no such study in {where}; {some}", f"+best={(near or known)[0]}"
    )
