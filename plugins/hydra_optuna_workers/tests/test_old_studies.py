"""What the code of before the plugin was a distribution left behind is resumed.

``old/study.sql`` is a study of commit 6dd6e1b whose command was killed in its fourth of six
trials; ``old/make.py`` made it, and says how.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna_workers import status
from optuna_workers.__main__ import main

from tests import quick
from tests.old.make import WORDS
from tests.stage import ROOT

OLD = Path(__file__).parent / "old"
NAME = "app-5abd0acc"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the old study in its place, and the command's files."""
    place = tmp_path / "project"
    shutil.copytree(OLD, place)
    study = place / "sweeps" / NAME / "study.db"
    study.parent.mkdir(parents=True)
    with closing(sqlite3.connect(study)) as database:
        database.executescript((place / "study.sql").read_text())
    return place


def test_an_interrupted_study_is_resumed_where_it_stopped(folder: Path) -> None:
    env = {"PYTHONPATH": str(ROOT), "HOME": str(folder)}
    ran = quick.run(folder / "app.py", list(WORDS), cwd=folder, env=env)
    assert ran.status == 0, ran.out + ran.err
    assert f"resuming {NAME}: 3 of 6 trials have ended" in ran.out + ran.err
    storage = f"sqlite:///{folder}/sweeps/{NAME}/study.db"
    trials = optuna.load_study(study_name=NAME, storage=storage).get_trials()
    told = [(t.user_attrs["slot"], t.user_attrs["attempt"], t.state.name) for t in trials]
    assert told == [
        (0, 0, "COMPLETE"), (1, 0, "FAIL"), (2, 0, "COMPLETE"), (3, 0, "FAIL"),
        (3, 1, "COMPLETE"), (4, 0, "COMPLETE"), (5, 0, "COMPLETE"),
    ]  # fmt: skip
    assert trials[3].params == trials[4].params
    assert trials[3].user_attrs["hydra:lost"] == "its worker died"
    (found,) = status.read(storage)
    assert (found.done, found.left) == (6, 0)


def test_what_an_old_study_does_not_know_is_not_invented(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder / "sweeps" / NAME)]) == 0
    said = capsys.readouterr().out
    assert "3 of ? slots have ended" in said and "? left" in said
    assert re.search(r"elsewhere \d+ .* run out ", said)
