"""What commit 6dd6e1b made, this code uses: its features, its studies, its runs, its champion.

The code was moved into other folders after that commit. Stores that people have from before are
read by file formats, table and tag names, keys of the feature store, and texts of commands; none
of them may change with a folder. So the old code itself, taken out of the git history, makes the
stores here, is killed in the middle of a study, and this code goes on with them.
"""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from conftest import Ended, Lab, Run, environment, killed, rows_of, succeeded, wait_for

pytestmark = pytest.mark.timeout(600)  # the first test waits for everything that is shared

COMMIT = "6dd6e1b"
"""The last commit before the move."""

PROJECT = Path(__file__).resolve().parents[1]
PREDICTIONS = "evaluation/predictions.csv"
TRIALS = 6
SHORT = {"lr_range__enabled": "false", "trainer__epochs": 2}
LONG = {"lr_range__enabled": "false", "trainer__epochs": 100, "trainer__patience": 100}
"""Trials of a second and more, so that the third is killed and not missed."""

ALONE = """\
import os, sys

def other(place):  # another checkout, such as the one that pip installed editable
    known = any(os.path.isdir(os.path.join(place, name)) for name in ("catdog", "hydra_plugins"))
    return known and place != os.path.dirname(__file__) and "site-packages" not in place

sys.path[:] = [place for place in sys.path if not other(place)]
"""
"""The old checkout's ``sitecustomize.py``. Being first on the path is not enough for it: Hydra
looks for plugins in every folder ``hydra_plugins`` of the path."""


@dataclass(frozen=True)
class Made:
    """What the old code made, and what it said of it."""

    lab: Lab
    stamps: Mapping[str, tuple[int, str]]
    plain: Run
    other: Run
    winner: Run
    trial: Run
    slots: Sequence[tuple[Any, ...]]
    answers: str


# === the old code, and what it makes ===


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment in which ``python -m catdog...`` is the code of the old commit."""
    place = tmp_path_factory.mktemp("old") / COMMIT
    unpack(place)
    (place / "sitecustomize.py").write_text(ALONE)
    env = {"PYTHONPATH": str(place)}
    code = "import catdog, hydra_plugins as p; print(catdog.__file__, *p.__path__)"
    command, around = [sys.executable, "-c", code], {**os.environ, **env}
    # from a folder that has no code in it, as the lab's commands are started
    found, *plugins = subprocess.check_output(
        command, env=around, cwd=place.parent, text=True
    ).split()
    assert found == str(place / "catdog/__init__.py"), "it would be the new code that makes all"
    assert [path for path in plugins if "site-packages" not in path] == [
        str(place / "hydra_plugins")
    ]
    return env


def unpack(place: Path) -> None:
    """Write the old commit's files to a folder; the repository does not notice."""
    git = ["git", "-C", str(PROJECT)]
    there = subprocess.run([*git, "cat-file", "-e", f"{COMMIT}^{{commit}}"], capture_output=True)
    if there.returncode:
        reason = f"commit {COMMIT} is not in the git history here (a shallow clone?)"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    packed = f"{place}.zip"
    subprocess.run([*git, "archive", f"--output={packed}", COMMIT], check=True)
    shutil.unpack_archive(packed, place)


@pytest.fixture(scope="module")
def made(old: dict[str, str], lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Stores of the old code, in a laboratory of their own: other tests want an empty one."""
    own = replace(lab, folder=tmp_path_factory.mktemp("made"))
    succeeded(own.start("plain", *own.overrides(), **old))
    later = [
        own.start("other", *own.overrides(optimizer__lr=0.01), **old),
        own.start("won", *sweep("won", own, "1e-3,1e-2", **SHORT), **old),
    ]
    interrupted(own.start("half", *half(own), **old), own)
    for process in later:
        succeeded(process)
    plain = own.found("plain")
    crowning = own.command("promote", "--run", plain.id, "--uri", own.uri, **old)
    answers = succeeded(predict(own, plain, plain.id, **old)).out
    assert "version 1 of catdog, champion" in succeeded(crowning).out
    trials = [own.found("won", number) for number in "01"]
    winner = min(trials, key=lambda run: run.metrics["best/val_loss"])
    return Made(
        own, own.stamps(), plain, own.found("other"), winner,
        own.found("half", "0"), slots(own), answers,
    )  # fmt: skip


def sweep(name: str, lab: Lab, rates: str, *more: str, **changed: object) -> list[str]:
    """Return the words of a sweep over learning rates with a name that the person chose."""
    words = lab.overrides(optimizer__lr=rates, **changed)
    return ["-m", f"hydra.sweeper.study_name={name}", *more, *words]


def half(lab: Lab) -> list[str]:
    """Return the words of the study that is interrupted: those of both versions."""
    rates = "tag(log,interval(1e-4,1e-1))"
    return sweep("half", lab, rates, f"hydra.sweeper.n_trials={TRIALS}", **LONG)


def interrupted(process: subprocess.Popen[str], lab: Lab) -> None:
    """Kill the study with all its processes once two trials have ended and a third runs."""

    def in_the_third() -> bool:
        rows = slots(lab)
        return [row[1] for row in rows] == ["COMPLETE", "COMPLETE", "RUNNING"] and rows[2][3] == 2

    wait_for(in_the_third, process=process, every=0.02)
    killed(process)
    assert in_the_third(), "killed too late"


def slots(lab: Lab) -> list[tuple[Any, ...]]:
    """Return the study's claims as they lie in its database; none before it has the table."""
    file = lab.folder / "hydra/half/study.db"
    query = "SELECT slot, state, attempt, trial, facts, started, ended FROM hydra_slots"
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
            return list(database.execute(f"{query} ORDER BY slot"))
    except sqlite3.OperationalError:
        return []


def shown_to(lab: Lab, run: Run) -> list[Path]:
    """Return the photos that a run was tested on."""
    return [lab.photos / row["path"] for row in rows_of(run.artifacts / PREDICTIONS)]


def predict(lab: Lab, run: Run, *model: object, **env: str) -> subprocess.Popen[str]:
    """Ask a model about the photos that a run was tested on."""
    words = [*shown_to(lab, run), "--uri", lab.uri, "--format", "csv", "--model", *model]
    return lab.command("predict", *words, **env)


# === what this code does with it ===


@pytest.fixture(scope="module")
def used(made: Made) -> dict[str, Ended]:
    """What every command said, two at a time."""
    return in_pairs(
        {
            "half": lambda lab: lab.start("half", *half(lab)),
            "repeat": lambda lab: repeated(lab, made.plain),
            "best": lambda lab: lab.start("best", f"tracking.uri={lab.uri}", "+best=won"),
            "pasted": lambda lab: pasted(lab, made.trial.tags["catdog.command"]),
            "run": lambda lab: predict(lab, made.plain, made.plain.id[:8]),
            "champion": lambda lab: predict(lab, made.plain, "models:/catdog@champion"),
            "file": lambda lab: predict(lab, made.plain, *file_of(made.plain)),
            "other": lambda lab: promoted(lab, made.other, "--force"),
        },
        made.lab,
    )


def in_pairs(commands: Mapping[str, Any], lab: Lab) -> dict[str, Ended]:
    """Start commands two at a time; return what they said."""
    said, names = {}, list(commands)
    for pair in (names[i : i + 2] for i in range(0, len(names), 2)):
        running = {name: commands[name](lab) for name in pair}
        said |= {name: succeeded(process) for name, process in running.items()}
    return said


def repeated(lab: Lab, run: Run) -> subprocess.Popen[str]:
    place = f"hydra.run.dir={lab.folder}/hydra/repeat"
    return lab.command("repeat", run.id[:10], "--uri", lab.uri, place)


def promoted(lab: Lab, run: Run, *words: str) -> subprocess.Popen[str]:
    return lab.command("promote", "--run", run.id, "--uri", lab.uri, *words)


def pasted(lab: Lab, command: str) -> subprocess.Popen[str]:
    """Run a command as a person would, from another folder."""
    place = shlex.quote(f"hydra.run.dir={lab.folder}/hydra/pasted")
    return subprocess.Popen(
        ["sh", "-c", f"exec {command} {place}"],
        cwd=lab.folder / "home",
        env=environment(lab.folder / "home", lab.fonts),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def file_of(run: Run) -> list[str]:
    return [str(run.artifacts / "checkpoints/best.keras"), "--classes", "cat,dog"]


def test_no_feature_is_computed_again(made: Made, used: dict[str, Ended]) -> None:
    assert made.stamps and made.lab.stamps() == made.stamps
    for name, ended in used.items():
        assert "Features of" not in ended.err, name
        assert "Checking photos" not in ended.err, name


def test_the_study_goes_on_and_ends_with_its_exact_budget(
    made: Made, used: dict[str, Ended]
) -> None:
    assert f"resuming half: 2 of {TRIALS} trials have ended" in used["half"].out
    rows = slots(made.lab)
    assert [(slot, state) for slot, state, *_ in rows] == [(k, "COMPLETE") for k in range(TRIALS)]
    assert rows[:2] == made.slots[:2], "a trial that had ended was run again"
    assert [row[2] for row in rows] == [0, 0, 1, 0, 0, 0], "the lost trial alone had a second try"
    lost, again = (json.loads(facts)["params"] for facts in (made.slots[2][4], rows[2][4]))
    assert lost == again


def test_mlflow_has_the_studys_trials_under_its_old_parent(
    made: Made, used: dict[str, Ended]
) -> None:
    runs = [run for run in made.lab.runs() if run.tags.get("optuna.study") == "half"]
    (parent,) = [run for run in runs if run.tags["catdog.kind"] == "sweep"]
    trials = [run for run in runs if run.tags.get("mlflow.parentRunId") == parent.id]
    states = [run.tags["optuna.state"] for run in trials]
    assert (states.count("COMPLETE"), states.count("FAIL")) == (TRIALS, 1)
    assert parent.metrics["trials/complete"] == TRIALS
    assert not [run.id for run in made.lab.runs() if run.status == "RUNNING"]


def test_a_repeat_of_an_old_run_is_the_same_to_the_last_bit(
    made: Made, used: dict[str, Ended]
) -> None:
    count = sum(map(len, made.plain.results().values()))
    assert f"{count} of {count} figures are the same to the last bit" in used["repeat"].out
    again = made.lab.found("repeat")
    assert again.results() == made.plain.results()
    assert again.params == made.plain.params
    assert again.tags["catdog.command"] == made.plain.tags["catdog.command"]


def test_the_winner_of_an_old_study_comes_again(made: Made, used: dict[str, Ended]) -> None:
    assert made.lab.found("best").results() == made.winner.results()


def test_the_text_of_an_old_command_still_runs(made: Made, used: dict[str, Ended]) -> None:
    assert made.lab.found("pasted").results() == made.trial.results()


@pytest.mark.parametrize("model", ["run", "champion", "file"])
def test_an_old_model_gives_its_answers(model: str, made: Made, used: dict[str, Ended]) -> None:
    assert used[model].out == made.answers
    now = probabilities(list(csv.DictReader(used[model].out.splitlines())))
    then = probabilities(rows_of(made.plain.artifacts / PREDICTIONS))
    assert then.std() > 0.01, "a vacuous model"
    assert np.abs(now - then).max() < 1e-5


def probabilities(rows: Sequence[Mapping[str, str]]) -> np.ndarray:
    return np.array([[float(row["cat"]), float(row["dog"])] for row in rows])


def test_an_old_champion_is_met_and_followed(made: Made, used: dict[str, Ended]) -> None:
    said = used["other"]
    assert "champion: version 1; " in said.err and "test photos" in said.err
    assert "version 2 of catdog, champion" in said.out
    registry = mlflow.MlflowClient(made.lab.uri)
    aliases = registry.get_registered_model("catdog").aliases
    assert {alias: int(number) for alias, number in aliases.items()} == {
        "champion": 2,
        "previous": 1,
    }
