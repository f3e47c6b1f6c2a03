"""A run as a trial of a sweep: what it tells the sweep, and how the two name each other."""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path
from typing import Any

import pytest
from optuna_workers import SweepTrial

from catdog.core.provenance import Provenance
from catdog.errors import ConfigError, DataError
from catdog.settings import Objective
from catdog.study import trial_run
from catdog.tracking import Tracker, names, owners

LOSS = Objective()
ACCURACY = Objective(metric="val/accuracy", direction="maximize")


class Sweep:
    """The sweep's end of a trial: hears all that is told, and decides whether to prune."""

    def __init__(self, folder: Path, *, prunes: bool = False) -> None:
        self.heard: list[tuple] = []
        self._prunes = prunes
        self.trial = SweepTrial(
            number=7, study_name="heads-1", params={"optimizer.lr": 1e-3},
            shared={names.SHARED_PARENT: "parent", "enqueue": "[]"},
            directory=folder / "trials/7", _ask=self._answer,
        )  # fmt: skip

    def _answer(self, *asked: Any) -> bool:
        self.heard.append(asked)
        return self._prunes and asked[0] == "should_prune"

    @property
    def said(self) -> list[str]:
        assert all(name == "status" for name, *_ in self.heard)
        return [text for _, text in self.heard]


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path)


# === what is said in the sweep's table ===


def work(status: trial_run.Status) -> None:
    """Go through a stage of four steps, two of which have something to say."""
    with status.track("Training", 4) as advance:
        advance()
        advance(1, "val loss 0.5")
        advance(2)
        status.note("a note")
        advance(0, "val loss 0.4")


def test_a_stage_says_its_name_how_far_it_is_and_what_it_said_last(
    sweep: Sweep, monkeypatch
) -> None:
    monkeypatch.setattr(trial_run, "EVERY_SECONDS", 0.0)
    work(trial_run.Status(sweep.trial))
    assert sweep.said == [
        "Training", "Training 1/4", "Training 2/4 val loss 0.5", "Training 4/4 val loss 0.5",
        "a note", "Training 4/4 val loss 0.4",
    ]  # fmt: skip


def test_stages_and_notes_are_said_at_once_and_steps_not_too_often(
    sweep: Sweep, monkeypatch
) -> None:
    monkeypatch.setattr(trial_run, "EVERY_SECONDS", 3600.0)
    status = trial_run.Status(sweep.trial)
    work(status)
    work(status)
    assert sweep.said == ["Training", "a note"] * 2


def test_a_long_stage_is_heard_of_now_and_then(sweep: Sweep, monkeypatch) -> None:
    monkeypatch.setattr(trial_run, "EVERY_SECONDS", 0.02)
    begun = time.monotonic()
    with trial_run.Status(sweep.trial).track("Reading", 9999) as advance:
        while time.monotonic() < begun + 0.2:
            advance()
            time.sleep(0.001)
    _, *steps = sweep.said
    done = [int(re.fullmatch(r"Reading (\d+)/9999", step).group(1)) for step in steps]
    assert 2 <= len(steps) <= 10
    assert done == sorted(set(done))


# === what the pruner and Optuna are told ===


@pytest.mark.parametrize("prunes", [False, True])
@pytest.mark.parametrize(("objective", "value"), [(LOSS, 0.75), (ACCURACY, 0.5)], ids=str)
def test_an_epoch_reports_the_objective_and_hears_whether_to_go_on(
    tmp_path: Path, objective: Objective, value: float, prunes: bool
) -> None:
    sweep = Sweep(tmp_path, prunes=prunes)
    reporter = trial_run.Reporter(sweep.trial, objective)
    metrics = {"train/loss": 0.1, "val/loss": 0.75, "val/accuracy": 0.5, "lr": 1e-3}
    assert reporter.on_epoch(1, metrics) is prunes
    assert reporter.on_epoch(2, metrics) is prunes
    told = [("report", value, 1), ("should_prune",), ("report", value, 2), ("should_prune",)]
    assert sweep.heard == told


@pytest.mark.parametrize("value", [0.0, 0.25, -1.0, 1e300])
def test_a_finite_result_is_one(sweep: Sweep, value: float) -> None:
    trial_run.Reporter(sweep.trial, LOSS).on_objective(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_result_that_cannot_be_compared_is_refused(sweep: Sweep, value: float) -> None:
    said = rf"objective.metric=val/loss: it is {value} .*diverged; try `optimizer.lr="
    with pytest.raises(ConfigError, match=said):
        trial_run.Reporter(sweep.trial, LOSS).on_objective(value)


@pytest.mark.parametrize("state", ["COMPLETE", "PRUNED", "FAIL"])
def test_the_runs_last_tag_is_how_the_trial_ended(sweep: Sweep, state: str) -> None:
    assert trial_run.Reporter(sweep.trial, LOSS).end_tags(state) == {"optuna.state": state}


# === trial, folder and run name each other ===


def test_the_trial_and_its_folder_name_the_run(sweep: Sweep) -> None:
    place = sweep.trial.directory
    for run_id in ("first", "again"):
        trial_run.Reporter(sweep.trial, LOSS).on_start(run_id, "sqlite:////a/mlflow.db")
    told = [
        ("set_user_attr", "mlflow.run_id", "again"),
        ("set_user_attr", "hydra.dir", str(place)),
    ]
    assert sweep.heard[2:] == told
    assert json.loads((place / "trial.json").read_text()) == {
        "optuna.study": "heads-1",
        "optuna.trial": 7,
        "mlflow.run_id": "again",
        "mlflow.tracking_uri": "sqlite:////a/mlflow.db",
    }


def origin(sweep: Sweep) -> Provenance:
    return Provenance(
        overrides=("optimizer.lr=0.001",), hydra_dir=str(sweep.trial.directory), kind="trial",
        label=trial_run.label(sweep.trial), tags=trial_run.tags(sweep.trial),
    )  # fmt: skip


def test_an_error_before_the_run_is_seen_in_a_run_of_its_own(
    sweep: Sweep, tracker: Tracker
) -> None:
    error = DataError("photos", "there are none")
    with (
        pytest.raises(DataError) as raised,
        trial_run.recorded(sweep.trial, tracker, origin(sweep)),
    ):
        raise error
    assert raised.value is error

    (known,) = tracker.find(
        {"mlflow.parentRunId": "parent", "optuna.study": "heads-1", "optuna.trial": "7"}
    )
    assert known.status == "FAILED"
    run = tracker.client.get_run(known.run_id)
    assert run.info.run_name == "t07 lr=0.001: not started"
    assert run.data.tags.items() >= {
        "catdog.kind": "trial",
        "catdog.command": "python -m catdog.train optimizer.lr=0.001",
        "hydra.dir": str(sweep.trial.directory),
        "optuna.state": "FAIL",
        "catdog.owner": owners.this_process(),
    }.items()  # fmt: skip
    place = tracker.open(known.run_id).local_artifacts()
    assert place is not None
    said = (place / "error/traceback.txt").read_text()
    assert said.startswith("Traceback") and "DataError: photos: there are none" in said
    assert ("set_user_attr", "mlflow.run_id", known.run_id) in sweep.heard
    facts = json.loads((sweep.trial.directory / "trial.json").read_text())
    assert facts["mlflow.run_id"] == known.run_id
    assert facts["mlflow.tracking_uri"] == tracker.uri


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, SystemExit], ids=str)
def test_without_an_error_of_its_own_nothing_is_recorded(
    sweep: Sweep, tracker: Tracker, error: type[BaseException] | None
) -> None:
    if error is None:
        with trial_run.recorded(sweep.trial, tracker, origin(sweep)):
            pass
    else:
        with pytest.raises(error), trial_run.recorded(sweep.trial, tracker, origin(sweep)):
            raise error
    assert tracker.find({}) == []
    assert sweep.heard == []
    assert not sweep.trial.directory.exists()
