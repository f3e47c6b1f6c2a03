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
from conftest import Ended, Lab, Run, ended, killed, rows_of, succeeded, wait_for

# the first test waits for everything that is shared
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COMMIT = "6dd6e1b"
"""The last commit before the move."""

PROJECT = Path(__file__).resolve().parents[1]
PREDICTIONS = "evaluation/predictions.csv"
TRIALS, SECONDS = 6, 300
SHORT = {"lr_range__enabled": "false", "trainer__epochs": 2}
LONG = {"lr_range__enabled": "false", "trainer__epochs": 60, "trainer__patience": 60}
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
    ask = "import catdog, hydra_plugins as p; print(*catdog.__path__, *p.__path__)"
    # from a folder that has no code in it, as the lab's commands are started
    asked = subprocess.run(
        [sys.executable, "-c", ask], cwd=place.parent, env={**os.environ, **env},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = [path for path in asked.stdout.split() if "site-packages" not in path]
    assert found == [str(place / "catdog"), str(place / "hydra_plugins")], "not the old code alone"
    return env


def unpack(place: Path) -> None:
    """Write the old commit's files to a folder; the repository does not notice."""
    git = ["git", "-C", str(PROJECT)]
    there = subprocess.run([*git, "cat-file", "-e", f"{COMMIT}^{{commit}}"], capture_output=True)
    if there.returncode:
        ask = [*git, "rev-parse", "--is-shallow-repository"]
        cut = subprocess.run(ask, capture_output=True, text=True).stdout.strip() == "true"
        reason = f"commit {COMMIT} is not in the git history here" + " (a shallow clone)" * cut
        pytest.skip(reason) if cut or os.environ.get("CI") != "true" else pytest.fail(reason)
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
        succeeded(process, timeout=SECONDS)
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

    wait_for(in_the_third, process=process, every=0.02, seconds=SECONDS)
    killed(process)
    assert in_the_third(), "killed too late"


def slots(lab: Lab) -> list[tuple[Any, ...]]:
    """Return the study's claims as they lie in its database; none before it has the table.

    Whoever is killed while it writes leaves a journal, which SQLite may only undo in mode rw.
    """
    file = lab.folder / "hydra/half/study.db"
    query = "SELECT slot, state, attempt, trial, facts, started, ended FROM hydra_slots"
    try:
        with sqlite3.connect(f"file:{file}?mode=rw", uri=True) as database:
            return list(database.execute(f"{query} ORDER BY slot"))
    except sqlite3.OperationalError:
        return []


def predict(lab: Lab, run: Run, *model: object, **env: str) -> subprocess.Popen[str]:
    """Ask a model about the photos that a run was tested on."""
    photos = [lab.photos / row["path"] for row in rows_of(run.artifacts / PREDICTIONS)]
    words = ["--uri", lab.uri, "--format", "csv", "--model", *model]
    return lab.command("predict", *photos, *words, **env)


# === what this code does with it ===


@pytest.fixture(scope="module")
def used(made: Made) -> dict[str, Ended]:
    """What each command of the code under test said; two run at a time."""
    lab, store, hydra = made.lab, ["--uri", made.lab.uri], f"hydra.run.dir={made.lab.folder}/hydra"
    python, option, module, *pasted = shlex.split(made.trial.tags["catdog.command"])
    assert (python, option, module) == ("python", "-m", "catdog.train")
    best = made.plain.artifacts / "checkpoints/best.keras"
    running = {
        "half": lambda: lab.start("half", *half(lab)),
        "repeat": lambda: lab.command("repeat", made.plain.id[:10], *store, f"{hydra}/repeat"),
        "best": lambda: lab.start("best", f"tracking.uri={lab.uri}", "+best=won"),
        "pasted": lambda: lab.start("pasted", *pasted),
        "run": lambda: predict(lab, made.plain, made.plain.id[:8]),
        "champion": lambda: predict(lab, made.plain, "models:/catdog@champion"),
        "file": lambda: predict(lab, made.plain, best, "--classes", "cat,dog"),
        "other": lambda: lab.command("promote", "--run", made.other.id, *store, "--force"),
    }
    said, names = {}, list(running)
    for pair in zip(names[::2], names[1::2], strict=True):
        both = {name: running[name]() for name in pair}
        for name, process in both.items():  # a repeat lacks three figures, see its test
            wait = ended if name == "repeat" else succeeded
            said[name] = wait(process, timeout=SECONDS)
    return said


def test_no_feature_is_computed_again(made: Made, used: dict[str, Ended]) -> None:
    assert made.stamps and made.lab.stamps() == made.stamps
    for name, said in used.items():
        assert "Features of" not in said.err, name
        assert "Checking photos" not in said.err, name


def test_the_study_ends_with_its_exact_budget(made: Made, used: dict[str, Ended]) -> None:
    assert f"resuming half: 2 of {TRIALS} trials have ended" in used["half"].out
    rows = slots(made.lab)
    assert [(slot, state) for slot, state, *_ in rows] == [(k, "COMPLETE") for k in range(TRIALS)]
    assert rows[:2] == made.slots[:2], "a trial that had ended was run again"
    assert [row[2] for row in rows] == [0, 0, 1, 0, 0, 0], "the lost trial alone had a second try"
    lost, again = (json.loads(facts)["params"] for facts in (made.slots[2][4], rows[2][4]))
    assert lost == again


def test_the_study_keeps_its_parent_in_mlflow(made: Made, used: dict[str, Ended]) -> None:
    runs = [run for run in made.lab.runs() if run.tags.get("optuna.study") == "half"]
    (parent,) = [run for run in runs if run.tags["catdog.kind"] == "sweep"]
    trials = [run for run in runs if run.tags.get("mlflow.parentRunId") == parent.id]
    states = [run.tags["optuna.state"] for run in trials]
    assert (states.count("COMPLETE"), states.count("FAIL")) == (TRIALS, 1)
    assert parent.metrics["trials/complete"] == TRIALS
    assert not [run.id for run in made.lab.runs() if run.status == "RUNNING"]


SUGGESTED = {"lr_range/minimum", "lr_range/steep", "lr_range/valley"}
"""The earlier version suggested rates where the loss does not fall by more than its noise, too."""


def test_a_repeat_is_the_same_to_the_last_bit(made: Made, used: dict[str, Ended]) -> None:
    then = made.plain.results()
    count = sum(map(len, then.values()))
    left = f"{count - len(SUGGESTED)} of {count} figures are the same to the last bit"
    assert used["repeat"].status == 4 and left in used["repeat"].out
    again = made.lab.found("repeat")
    assert SUGGESTED <= then.keys() and not SUGGESTED & again.results().keys()
    assert again.results() == {name: then[name] for name in then if name not in SUGGESTED}
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
    assert {alias: int(aliases[alias]) for alias in aliases} == {"champion": 2, "previous": 1}
