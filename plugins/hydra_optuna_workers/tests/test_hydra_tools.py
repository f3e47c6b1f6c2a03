"""What Hydra itself offers works in sweeps: its callback, reruns, names of folders and files."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from tests import quick
from tests.processes import Ended, succeeded
from tests.stage import Stage
from tests.test_failures import APP, command, sweep

NAMED = "hydra.sweeper.study_name=s"
PICKLES = "+hydra.callbacks.info._target_=hydra.experimental.callbacks.PickleJobInfoCallback"

ROADS = {
    "children": [],
    "two children": ["hydra.sweeper.n_jobs=2"],
    "this process": ["hydra.sweeper.isolation=none"],
    "its own folder": ["hydra.job.chdir=true"],
}
JOBLIB = ["hydra/launcher=joblib", "hydra.sweeper.n_jobs=2"]
ROADS_OF_JOBLIB = {"joblib": JOBLIB, "its processes": [*JOBLIB, "hydra.sweeper.isolation=none"]}


def pickled(stage: Stage, number: int, name: str) -> Any:
    """Return what Hydra's callback kept of a trial."""
    file = stage.folder / f"sweeps/s/trials/{number}/.hydra/{name}.pickle"
    return pickle.loads(file.read_bytes())


@pytest.mark.parametrize("words", ROADS.values(), ids=ROADS)
def test_hydras_callback_keeps_each_trial(stage: Stage, words: list[str]) -> None:
    check_kept(stage, stage.run("x=1,2,3", NAMED, PICKLES, *words))


@pytest.mark.slow
@pytest.mark.parametrize("words", ROADS_OF_JOBLIB.values(), ids=ROADS_OF_JOBLIB)
def test_hydras_callback_keeps_each_trial_of_joblib(stage: Stage, words: list[str]) -> None:
    # it does not end in a fork
    check_kept(stage, succeeded(stage.start("x=1,2,3", NAMED, PICKLES, *words)))


def check_kept(stage: Stage, said: Ended) -> None:
    assert "raised" not in said.out + said.err
    assert len(stage.trials()) == 3
    for trial in stage.trials():
        number = trial.number
        config, job = pickled(stage, number, "config"), pickled(stage, number, "job_return")
        assert config.x == job.cfg.x == trial.params["x"]
        assert config.hydra.job.num == job.hydra_cfg.hydra.job.num == number
        assert job.return_value == trial.value and f"x={trial.params['x']}" in job.overrides


def test_a_trial_runs_again_from_what_hydras_callback_kept(tmp_path: Path) -> None:
    assert sweep(tmp_path / "sweep", "x=1,2", PICKLES).status == 0
    kept = tmp_path / "sweep/1/.hydra/config.pickle"
    start = command(tmp_path / "sweep")
    words = ["--experimental-rerun", str(kept)]
    ran = quick.run(APP, words, cwd=tmp_path, env=start["env"])
    assert (ran.status, ran.out) == (0, "does return\n"), ran.err


LONG = [f"+{'k' * 40}{i}={'v' * 20}" for i in range(6)]


@pytest.mark.parametrize("key", ["hydra.sweep.subdir", "hydra.sweep.dir"])
def test_a_folder_named_by_more_overrides_than_a_name_holds(stage: Stage, key: str) -> None:
    """Each trial has a folder of its own all the same, and the same command finds the study."""
    words = ["x=1,2", *LONG, f"{key}='longer/${{hydra.job.override_dirname}}'"]
    url = f"hydra.sweeper.storage=sqlite:///{stage.folder}/study.db"
    for _ in range(2):
        stage.run(*words, NAMED, url)
    found = Stage(stage.folder, f"sqlite:///{stage.folder}/study.db").trials()
    folders = {Path(trial.user_attrs["directory"]) for trial in found}
    assert [trial.state.name for trial in found] == ["COMPLETE"] * 2 and len(folders) == 2
    assert all((folder / "output.log").exists() for folder in folders)
    assert {len(os.fsencode(part)) for folder in folders for part in folder.parts} >= {255}


def test_a_value_that_stands_twice_is_told_before_the_first_trial(stage: Stage) -> None:
    said = stage.run("x=1,1,2", "y=3,4", NAMED)
    told = said.out + said.err
    assert "x: 1 stands more than once in the list, and is tried once: x=1,2" in told
    assert "y:" not in told and told.index("more than once") < told.index("trial 0")
    assert len(stage.trials()) == 4


FUNCTION = """
def configure(cfg, trial):
    trial.suggest_int("y", trial.params["x"], 9)
"""


@pytest.mark.parametrize("module", ["search-space", ".search-space", "inside.a-space"])
def test_a_function_in_a_file_that_is_no_python_name(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    """As in the example of Hydra's own plugin, ``.custom-search-space-objective.configure``."""
    file = stage.folder / f"{module.lstrip('.').replace('.', '/')}.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(FUNCTION)
    monkeypatch.setenv("PYTHONPATH", f"{os.environ['PYTHONPATH']}:{stage.folder}")
    stage.run(
        "x=range(1,3)", NAMED, "hydra.sweeper.n_trials=2",
        f"hydra.sweeper.custom_search_space={module}.configure",
    )  # fmt: skip
    assert all(trial.params["y"] >= trial.params["x"] for trial in stage.trials())


def test_keys_that_are_no_python_names(stage: Stage) -> None:
    stage.run(
        "+model.weight-decay=interval(0,1)", "+a-b=1,2", "++c$d=x-1,y-2", NAMED,
        "hydra.sweeper.n_trials=4", "hydra.sweeper.enqueue=[{model.weight-decay: 0.5, a-b: 2}]",
        "+hydra.sweeper.when={c$d: {a-b: 2}}",
    )  # fmt: skip
    first, *others = stage.trials()
    assert first.params["model.weight-decay"] == 0.5 and first.params["a-b"] == 2
    assert first.params["c$d"] in ("x-1", "y-2")
    assert all(("c$d" in trial.params) == (trial.params["a-b"] == 2) for trial in others)


HELD_BY = [
    "auto",
    *(
        pytest.param(base, marks=pytest.mark.slow)
        for base in ("random", "{_target_: optuna.samplers.NSGAIISampler}")
    ),
]
HELD = ["x=interval(0,1)", "y=range(0,9)", "hydra/sweeper/sampler=partial_fixed", NAMED]


@pytest.mark.parametrize("base", HELD_BY)
def test_a_key_is_held_while_a_sampler_draws_the_others(stage: Stage, base: str) -> None:
    stage.run(
        *HELD, "hydra.sweeper.sampler.fixed_params={y: 4}", "hydra.sweeper.n_trials=12",
        f"hydra.sweeper.sampler.base_sampler={base}",
    )  # fmt: skip
    found = stage.trials()
    assert [trial.params["y"] for trial in found] == [4] * 12
    assert len({trial.params["x"] for trial in found}) == 12
