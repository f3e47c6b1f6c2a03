"""What a sweep would do is what it then does; looking makes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from optuna_workers import search_plan
from optuna_workers.search_plan import SearchPlan

from tests.stage import APP, Stage

Describe = Callable[..., SearchPlan]


@pytest.fixture
def describe() -> Describe:
    """Describe a sweep of the stub, as its command would compose it."""

    def described(*words: str) -> SearchPlan:
        with initialize_config_dir(str(APP / "conf"), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            config = loader.load_configuration("stub", list(words), RunMode.MULTIRUN)
            config.hydra.job.name = "stub"
            return search_plan.describe(HydraContext(loader, Callbacks()), config)

    return described


def test_a_sampled_sweep(describe: Describe, stage: Stage) -> None:
    plan = describe("x=tag(log,interval(1e-3,1))", "y=1", "hydra/sweeper/pruner=median")
    assert (plan.n_trials, plan.n_jobs, plan.enumerated) == (20, 1, False)
    assert (plan.sampler, plan.pruner, plan.directions) == ("auto", "median", ("minimize",))
    known = {"kind": "float", "low": 1e-3, "high": 1.0, "step": None, "log": True}
    assert plan.parameters == {"x": known} and plan.overrides == ("y=1",)
    assert plan.config.y == 1 and plan.config.x == 1e-3
    assert plan.directory == stage.folder / "sweeps" / plan.study_name
    assert plan.storage == f"sqlite:///{plan.directory}/study.db"
    assert not plan.directory.exists()


def test_an_enumerated_sweep_does_what_was_said(describe: Describe, stage: Stage) -> None:
    words = ("x=1,2,3", "y=1,2", "hydra.sweeper.enqueue=[{x: 3, y: 2}]")
    plan = describe(*words)
    assert (plan.n_trials, plan.enumerated) == (6, True)
    assert list(plan.enqueue) == [{"x": 3, "y": 2}]
    stage.run(*words, "hydra.sweeper.isolation=none")
    assert stage.studies() == [plan.study_name]
    assert len(stage.trials(plan.study_name)) == plan.n_trials


def test_a_named_study_in_a_shared_database(describe: Describe) -> None:
    url = "postgresql+psycopg://me:secret@db/studies"
    plan = describe(
        "x=1,2", "hydra.sweeper.study_name=mine", f"hydra.sweeper.storage='{url}'",
        "hydra.sweeper.n_trials=1", "hydra.sweeper.direction=[minimize,maximize]",
    )  # fmt: skip
    assert plan.study_name == "mine" and plan.n_trials == 1
    assert plan.storage == "postgresql+psycopg://me:***@db/studies"
    assert "secret" not in repr(plan)
    assert plan.directions == ("minimize", "maximize")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("hydra.sweeper.n_jobs=0", "hydra.sweeper.n_jobs=0: must be 1 or more"),
        ("nowhere=1,2", "Could not override 'nowhere'"),
        ("hydra/sweeper/sampler=grid", "x is not a list"),
        ("hydra.sweeper.storage=sqlite:///:memory:", "cannot share memory"),
    ],
)
def test_what_the_sweep_would_refuse(
    describe: Describe, tmp_path: Path, word: str, said: str
) -> None:
    with pytest.raises(HydraException, match=said):
        describe("x=interval(0,1)", word)
