"""What other people's scripts, configurations and commands name goes on working."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib import metadata

import pytest

PATHS = {
    "catdog.weights": "Weights downloads load on_this_machine resolve",
    "catdog.settings": "Augment Backbone Data Evaluation Features Finetune Head LrRange Objective "
    "OPTIMIZER_KEYS Optimizer Schedule Settings Tracking Trainer",
    "catdog.data": "prepare require_writable",
    "catdog.tracking": "Tracker open_store",
    "catdog.experiment": "Clock GivenUp Outcome run",
    "catdog.progress": "Progress Watcher",
    "catdog.errors": "CatdogError ConfigError DataError",
    "catdog.train": "main preload task",
    "catdog.suggest": "StartFromRangeTest main",
    "catdog.study.preflight": "Preflight",
    "catdog.study.parent_run": "StudyRun",
    "hydra_plugins.optuna_workers": "StudyInfo SweepCallback SweepTrial TrialInfo current_trial",
    "optuna_workers": "StudyInfo SweepCallback SweepTrial TrialInfo current_trial",
}
COMMANDS = "train sweep predict evaluate suspects repeat promote suggest doctor cache ui".split()


@pytest.mark.parametrize("module", PATHS)
def test_a_module_has_the_names_that_people_import(module: str) -> None:
    found = importlib.import_module(module)
    missing = [name for name in PATHS[module].split() if not hasattr(found, name)]
    assert not missing, f"{module} lacks {missing}"


def test_the_sweepers_old_path_has_the_same_objects() -> None:
    old, new = map(importlib.import_module, ("hydra_plugins.optuna_workers", "optuna_workers"))
    assert all(getattr(old, name) is getattr(new, name) for name in old.__all__)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_called_in_either_way(name: str) -> None:
    for words, called in (
        ([sys.executable, "-m", f"catdog.{name}"], f"catdog.{name}"),
        (["catdog", name], f"catdog {name}"),
    ):
        asked = subprocess.run([*words, "--help"], capture_output=True, text=True, timeout=60)
        assert asked.returncode == 0, asked.stderr
        if "usage: " in asked.stdout:  # train's help is Hydra's, sweep's a list
            assert called in asked.stdout


def test_console_scripts_lead_to_functions() -> None:
    scripts = metadata.distribution("catdog-lab").entry_points.select(group="console_scripts")
    assert {one.name for one in scripts} == {"catdog", "catdog-train", "catdog-sweep"}
    assert all(callable(one.load()) for one in scripts)
