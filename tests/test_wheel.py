"""Both wheels carry what they need, and work from any folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SWEEPER = ROOT / "plugins/hydra_optuna_workers"


def built(project, out):
    pytest.importorskip("hatchling", reason='needs pip install ".[dev]"')
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return built(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sweeper(tmp_path_factory):
    return built(SWEEPER, tmp_path_factory.mktemp("sweeper"))


@pytest.fixture(scope="module")
def site(wheel, sweeper, tmp_path_factory):
    """A folder of packages that has both, beside those that are installed."""
    folder = tmp_path_factory.mktemp("site")
    for one in (wheel, sweeper):
        zipfile.ZipFile(one).extractall(folder)
    return folder


def names(wheel):
    return set(zipfile.ZipFile(wheel).namelist())


def modules(package):
    kinds = (".py", ".html", ".js")
    files = [path for path in package.rglob("*") if path.suffix in kinds]
    return {str(path.relative_to(package.parent)) for path in files}


def test_it_holds_every_module_and_config_and_no_data(wheel):
    held = names(wheel)
    for path in (ROOT / "conf").rglob("*.yaml"):
        assert f"catdog/conf/{path.relative_to(ROOT / 'conf')}" in held
    assert modules(ROOT / "catdog") <= held
    searches = {path.name for path in (ROOT / "sweeps").glob("*.yaml")}
    assert {name for name in held if name.startswith("catdog/sweeps/")} == {
        f"catdog/sweeps/{name}" for name in searches
    }
    assert {name.partition("/")[0] for name in held} == {"catdog", "catdog_lab-0.1.0.dist-info"}


def test_the_sweepers_holds_its_code_and_the_door_that_hydra_scans(sweeper):
    held = names(sweeper)
    assert modules(SWEEPER / "optuna_workers") <= held
    assert "hydra_plugins/optuna_workers/sweeper.py" in held
    assert "hydra_plugins/__init__.py" not in held, "it would hide other plugins"
    assert not [name for name in held if "catdog" in name or "tests" in name]


def asked(site, folder, *words):
    command = [sys.executable, "-m", *words]
    env = {**os.environ, "PYTHONPATH": str(site)}
    ran = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_installed_elsewhere_it_works_in_the_current_folder(site, tmp_path):
    shown = asked(site, tmp_path, "catdog.train", "--cfg", "all", "--resolve")
    assert f"path: {site}/catdog/conf" in shown
    assert f"dir: {tmp_path}/mlruns/hydra/" in shown
    assert "_target_: hydra_plugins.optuna_workers.sweeper.OptunaSweeper" in shown


def test_searches_come_with_it(site, tmp_path):
    assert "lr_dropout" in asked(site, tmp_path, "catdog.sweep")
