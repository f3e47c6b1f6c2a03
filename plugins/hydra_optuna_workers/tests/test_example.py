"""The example and the README's first sweep run as they are shown; the ways in stay open."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

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


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", README, re.DOTALL)


def test_the_first_sweep_of_the_readme(tmp_path: Path) -> None:
    config = next(text for text in blocks("yaml") if "override hydra/sweeper" in text)
    app = next(text for text in blocks("python") if "@hydra.main" in text)
    (tmp_path / "config.yaml").write_text(config)
    (tmp_path / "app.py").write_text(app)
    (command,) = re.findall(r"\$ python app\.py (-m 'x=interval.*)", README)
    words = [word.strip("'") for word in command.split()]
    ran = run(tmp_path / "app.py", *words)
    assert ran.status == 0, ran.out + ran.err
    shown = README.partition(command)[2].splitlines()
    for line in [line for line in shown if re.match(r"    trial \d COMPLETE", line)]:
        begin, end = line.strip().split(" in ")[0], line.strip().split("  ")[-1]
        assert re.search(rf"{re.escape(begin)} in .* {re.escape(end)}\n", ran.out + ran.err)


def test_every_key_is_in_the_manual() -> None:
    from dataclasses import fields

    from optuna_workers.config import OptunaWorkersConf
    from optuna_workers.sampling.options import PRUNERS, SAMPLERS

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
