"""The wheel carries its configs and works from any folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling", reason='needs pip install ".[dev]"')
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(out.glob("*.whl"))


def test_it_holds_every_config_and_no_data(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "conf").rglob("*.yaml"):
        assert f"catdog/conf/{path.relative_to(ROOT / 'conf')}" in names
    assert {"catdog/served.py", "hydra_plugins/optuna_workers/sweeper.py"} <= names
    assert "hydra_plugins/__init__.py" not in names, "it would hide other plugins"
    searches = {path.name for path in (ROOT / "sweeps").glob("*.yaml")}
    assert {name for name in names if name.startswith("catdog/sweeps/")} == {
        f"catdog/sweeps/{name}" for name in searches
    }
    assert not [name for name in names if "mlruns" in name or name.startswith("tests")]


def test_installed_elsewhere_it_finds_its_configs_and_works_in_the_current_folder(wheel, tmp_path):
    site, folder = tmp_path / "site", tmp_path / "project"
    zipfile.ZipFile(wheel).extractall(site)
    folder.mkdir()
    asked = subprocess.run(
        [sys.executable, "-m", "catdog.train", "--cfg", "all", "--resolve"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert asked.returncode == 0, asked.stderr
    assert f"path: {site}/catdog/conf" in asked.stdout
    assert f"dir: {folder}/mlruns/hydra/" in asked.stdout
