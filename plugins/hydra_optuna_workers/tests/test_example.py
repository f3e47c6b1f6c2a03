"""The example runs as the README shows it, and so does the rest; the ways in stay open."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna_workers.config import OptunaWorkersConf
from optuna_workers.sampling.options import PRUNERS, SAMPLERS
from optuna_workers.search_plan import SearchPlan

from tests import quick
from tests.processes import Ended
from tests.stage import ROOT

README = (ROOT / "README.md").read_text()


def run(app: Path, *words: str) -> Ended:
    """Run an application that knows the plugin only as it is installed."""
    env = {"PYTHONPATH": str(ROOT), "HOME": str(app.parent)}
    return quick.run(app, list(words), cwd=app.parent, env=env)


@pytest.fixture
def example(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "example", tmp_path / "example")
    return tmp_path / "example" / "app.py"


def test_the_example_searches(example: Path) -> None:
    ran = run(example, "-m", "hydra.sweeper.n_trials=12", "hydra.sweeper.seed=1")
    assert ran.status == 0, ran.out + ran.err
    (study,) = (example.parent / "sweeps").glob("*/study.db")
    trials = optuna.load_study(study_name=study.parent.name, storage=f"sqlite:///{study}").trials
    assert len(trials) == 12
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
    for trial in trials:
        assert ("momentum" in trial.params) == (trial.params["method"] == "momentum")
    assert "12 of 12 trials" in ran.out + ran.err


def test_the_example_runs_without_a_sweep(example: Path) -> None:
    assert run(example, "steps=3").status == 0


def block(kind: str, text: str) -> str:
    """Return the README's block of code that holds a text."""
    (found,) = [b for b in re.findall(rf"```{kind}\n(.*?)```", README, re.DOTALL) if text in b]
    return found


def test_the_readme_shows_the_example() -> None:
    assert block("yaml", "override hydra/sweeper") == (ROOT / "example/config.yaml").read_text()
    assert block("python", "@hydra.main") == (ROOT / "example/app.py").read_text()


def test_the_example_says_what_the_readme_says(example: Path) -> None:
    ((words, shown),) = re.findall(r"    \$ python app\.py (-m .*)\n((?:    .+\n)+)", README)
    ran = run(example, *words.split())
    assert ran.status == 0, ran.out + ran.err

    def timeless(said: str) -> list[str]:
        lines = [re.sub(r" in [\d.]+ s ", " ", line.strip()) for line in said.splitlines()]
        return [line for line in lines if line.startswith(("trial", "app-", "best"))]

    assert timeless(shown) == timeless(ran.out + ran.err)
    assert len(timeless(shown)) == 10


def test_the_plan_of_the_readme(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(example.parent)
    names: dict[str, Any] = {}
    exec(block("python", "search_plan.describe"), names)
    plan = names["planned"]("lr=1e-3,1e-4")
    assert (plan.n_trials, plan.n_jobs, plan.enumerated) == (30, 2, False)
    assert plan.pruner == "median" and set(plan.parameters) == {"method", "lr", "momentum"}
    listed = README.partition('`planned("lr=1e-3,1e-4")` has')[2].partition("What the sweep")[0]
    assert re.findall(r"`(\w+)`", listed) == [one.name for one in fields(SearchPlan)]
    assert not (example.parent / "sweeps").exists()


def test_every_key_is_in_the_manual() -> None:
    keys = [one.name for one in fields(OptunaWorkersConf) if one.name not in
            ("_target_", "_recursive_", "defaults")]  # fmt: skip
    missing = [key for key in [*keys, *SAMPLERS, *PRUNERS] if f"`{key}`" not in README]
    assert not missing


def loaded(code: str, *names: str) -> str:
    """Return which modules some code loads, of those named."""
    code = f"import sys\n{code}\nprint(*(m for m in {names!r} if m in sys.modules))"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


HEAVY = ("optuna", "sqlalchemy", "numpy", "rich", "cloudpickle", "psutil", "torch")


@pytest.mark.parametrize(
    "code",
    [
        "import optuna_workers",
        "from optuna_workers import current_trial, SweepCallback",
        "import optuna_workers.config, optuna_workers.sampling.options",
        "import hydra_plugins.optuna_workers.sweeper",
        "from hydra.core.plugins import Plugins; Plugins.instance()",
    ],
)
def test_the_way_in_is_light(code: str) -> None:
    assert loaded(code, *HEAVY) == ""


def test_the_old_way_in_is_the_same() -> None:
    import hydra_plugins.optuna_workers as door
    import optuna_workers

    assert door.__all__ == optuna_workers.__all__
    assert all(getattr(door, name) is getattr(optuna_workers, name) for name in door.__all__)


def test_the_door_is_a_namespace() -> None:
    """With an ``__init__`` of its own it would hide the plugins that are installed elsewhere."""
    assert not (ROOT / "hydra_plugins/__init__.py").exists()


@pytest.mark.slow
def test_the_wheel_brings_all_that_a_sweep_needs(example: Path, tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path / "site", "zip")
    there = {path.relative_to(tmp_path / "site").parts[0] for path in tmp_path.glob("site/*")}
    assert {name for name in there if not name.endswith(".dist-info")} == {
        "optuna_workers", "hydra_plugins"
    }  # fmt: skip
    assert (tmp_path / "site/optuna_workers/py.typed").exists()
    env = {"PYTHONPATH": str(tmp_path / "site"), "HOME": str(tmp_path)}
    words = ["-m", "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=1"]
    ran = quick.run(example, words, cwd=example.parent, env=env)
    assert ran.status == 0 and "2 of 2 trials" in ran.out + ran.err
