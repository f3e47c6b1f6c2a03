"""What cannot run is refused in one message, before the first trial and without a traceback."""

from __future__ import annotations

import contextlib
import re
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from optuna_workers import checks
from optuna_workers.errors import SweepError

from tests.test_failures import sweep

FLOAT, LIST = "x=interval(0,1)", "x=1,2,3"

CASES: dict[str, tuple[list[str], list[str]]] = {
    # name: overrides, and what one message must hold: key, value, fix
    "sampler": (
        [LIST, "hydra/sweeper/sampler=simulated"],
        ["hydra/sweeper/sampler/simulated", "tpe", "random", "cmaes", "brute_force"],
    ),
    "pruner": (
        [LIST, "hydra/sweeper/pruner=secateurs"],
        ["hydra/sweeper/pruner/secateurs", "median", "hyperband", "wilcoxon", "none"],
    ),
    "unknown setting": (
        [LIST, "hydra.sweeper.trials=3"],
        ["hydra.sweeper.trials", "Key 'trials' not in"],
    ),
    "key": ([LIST, "lr=1,2"], ["Could not override 'lr'", "+lr="]),
    "key with an interval": (["lr=interval(0,1)"], ["Could not override 'lr'", "+lr="]),
    "type of a value": (["x=1,two"], ["Value 'two'", "could not be converted to Float", "x"]),
    "interval": (["x=interval(5,1)"], ["x=interval(5,1)", "starts after its end", "interval(1"]),
    "log of zero": (
        ["x=tag(log,interval(0,1))"],
        ["x=tag(log,interval(0,1))", "starts above 0", "interval(1e-6,1)"],
    ),
    "hydra": (
        ["hydra.verbose=true,false"],
        ["Sweeping over Hydra's configuration is not supported", "hydra.verbose=true,false"],
    ),
    "no trials": ([LIST, "hydra.sweeper.n_trials=0"], ["hydra.sweeper.n_trials=0", "1 or more"]),
    "no jobs": ([LIST, "hydra.sweeper.n_jobs=0"], ["hydra.sweeper.n_jobs=0", "1 or more"]),
    "failure rate": (
        [LIST, "hydra.sweeper.max_failure_rate=7"],
        ["hydra.sweeper.max_failure_rate=7", "from 0 to 1"],
    ),
    "isolation": (
        [LIST, "hydra.sweeper.isolation=thread"],
        ["hydra.sweeper.isolation=thread", "process or none"],
    ),
    "direction": (
        [LIST, "hydra.sweeper.direction=up"],
        ["hydra.sweeper.direction=up", "minimize"],
    ),
    "condition on a key that is not swept": (
        [LIST, "+hydra.sweeper.when={x: {y: 1}}"],
        ["hydra.sweeper.when", "y: 1", "y is not swept (swept: x)"],
    ),
    "condition of a key that is not swept": (
        [LIST, "+hydra.sweeper.when={y: {x: 1}}"],
        ["hydra.sweeper.when.y", "y is not swept (swept: x)"],
    ),
    "condition on an interval": (
        [FLOAT, "y=1,2", "+hydra.sweeper.when={y: {x: 1}}"],
        ["hydra.sweeper.when.y", "x is an interval", "x=choice("],
    ),
    "condition on a value that is not there": (
        [LIST, "y=1,2", "+hydra.sweeper.when={x: {y: 7}}"],
        ["hydra.sweeper.when.x", "y: 7", "1, 2"],
    ),
    "circle": (
        [LIST, "y=1,2", "+hydra.sweeper.when={x: {y: 1}, y: {x: 1}}"],
        ["hydra.sweeper.when.x", "circle", "dropping"],
    ),
    "pruner with several directions": (
        [LIST, "hydra/sweeper/pruner=median", "hydra.sweeper.direction=[minimize,maximize]"],
        ["hydra/sweeper/pruner=MedianPruner", "2 directions", "hydra/sweeper/pruner=none"],
    ),
    "pruner without its bound": (
        [LIST, "hydra/sweeper/pruner=threshold"],
        ["hydra.sweeper.pruner", "ThresholdPruner", "lower or upper"],
    ),
    "grid with an interval": (
        [LIST, "y=interval(0,1)", "hydra/sweeper/sampler=grid"],
        ["hydra/sweeper/sampler=grid", "y is not a list", "hydra/sweeper/sampler=tpe"],
    ),
    "enqueue outside of a list": (
        [LIST, "hydra.sweeper.enqueue=[{x: 7}]"],
        ["hydra.sweeper.enqueue=x: 7", "outside", "1, 2, 3"],
    ),
    "enqueue outside of an interval": (
        [FLOAT, "hydra.sweeper.enqueue=[{x: 7}]"],
        ["hydra.sweeper.enqueue=x: 7", "outside", "0.0 to 1.0"],
    ),
    "enqueue of a key that is not swept": (
        [LIST, "hydra.sweeper.enqueue=[{y: 1}]"],
        ["hydra.sweeper.enqueue=y: 1", "not swept", "x"],
    ),
    "memory": (
        [LIST, "hydra.sweeper.storage=sqlite:///:memory:"],
        ["hydra.sweeper.storage=sqlite:///:memory:", "cannot share memory", "sqlite:///study.db"],
    ),
    "folder that cannot be made": (
        [LIST, "hydra.sweeper.storage=sqlite:////dev/null/folder/study.db"],
        [
            "hydra.sweeper.storage=sqlite:////dev/null/folder",
            "cannot be used",
            "sqlite:///file.db",
        ],
    ),
    "no database": (
        [LIST, "hydra.sweeper.storage=journal.log"],
        ["hydra.sweeper.storage=journal.log", "cannot be used", "sqlite:///file.db"],
    ),
    "custom search space": (
        [LIST, "hydra.sweeper.custom_search_space=nowhere.extend"],
        ["hydra.sweeper.custom_search_space=nowhere.extend", "nowhere"],
    ),
    "preload": (
        [LIST, "hydra.sweeper.preload=os.nowhere"],
        ["hydra.sweeper.preload=os.nowhere", "nowhere"],
    ),
}


def refused(directory: Path, *arguments: str) -> str:
    """Return what a sweep that is refused says; no trial may have run."""
    ran = sweep(directory, *arguments)
    assert ran.status == 1, ran.said
    assert "Traceback" not in ran.said
    assert not list(directory.glob("*/output.log"))
    return ran.said


@pytest.mark.parametrize(("overrides", "told"), CASES.values(), ids=CASES)
def test_refused(tmp_path: Path, overrides: list[str], told: list[str]) -> None:
    said = refused(tmp_path / "sweep", *overrides)
    assert [text for text in told if text not in said] == [], said
    assert len(said.splitlines()) <= 20
    assert not (tmp_path / "sweep/study.db").exists()


def test_a_closed_port_is_named_and_no_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"postgresql+psycopg://me:secret@127.0.0.1:{port}/db"
    said = refused(tmp_path / "sweep", LIST, f"hydra.sweeper.storage={url}")
    assert f"hydra.sweeper.storage=postgresql+psycopg://me:***@127.0.0.1:{port}/db" in said
    assert "refused" in said
    assert "secret" not in said


def mlflows(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("CREATE TABLE experiments (name TEXT)")


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a text": (lambda file: file.write_text("n: 20\n" * 400), "the file is no SQLite database"),
    "a short text": (lambda file: file.write_text("x"), "the file is no SQLite database"),
    "a folder": (lambda file: file.mkdir(), "it is a folder; try another"),
    "another program's": (
        mlflows, "it holds another program's tables (alembic_version, experiments)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("named", [False, True], ids=["study.db", "storage"])
@pytest.mark.parametrize(("make", "told"), FILES.values(), ids=FILES)
def test_what_is_no_database_of_studies_is_left_as_it_was(
    tmp_path: Path, make: Callable[[Path], object], told: str, named: bool
) -> None:
    file = tmp_path / ("other.db" if named else "sweep/study.db")
    file.parent.mkdir(exist_ok=True)
    make(file)
    before = file.is_dir() or file.read_bytes()
    said = refused(tmp_path / "sweep", LIST, *[f"hydra.sweeper.storage=sqlite:///{file}"] * named)
    assert f"hydra.sweeper.storage=sqlite:///{file}: {told}" in said
    assert "another hydra.sweeper.storage, such as sqlite:///" in said
    assert before == (file.is_dir() or file.read_bytes())


def test_an_empty_file_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep/study.db").touch()
    ran = sweep(tmp_path / "sweep", LIST)
    assert ran.status == 0 and len(ran.trials()) == 3, ran.said


CHANGES = [
    ("x=interval(0,1)", "x=interval(0,2)", ["interval(0.0,1.0)", "interval(0.0,2.0)"]),
    ("x=interval(1,2)", "x=tag(log,interval(1,2))", ["(x: interval(1.0,2.0) -> ", "log"]),
    ("x=1,2", "x=1,3", ["(x: ", "1,2", "1,3"]),
    ("x=1,2", "y=1,2", ["x: no longer swept", "y: new"]),
]


@pytest.mark.parametrize("trials", [2, 3], ids=["finished", "extended"])
@pytest.mark.parametrize(("before", "now", "difference"), CHANGES)
def test_a_changed_space_is_shown(
    tmp_path: Path, before: str, now: str, difference: list[str], trials: int
) -> None:
    name = "hydra.sweeper.study_name=mine"
    assert sweep(tmp_path / "sweep", name, before, "hydra.sweeper.n_trials=2").status == 0
    ran = sweep(tmp_path / "sweep", name, now, f"hydra.sweeper.n_trials={trials}")
    assert ran.status == 1, ran.said
    assert f"{name}: this study searches another space" in ran.said
    assert [text for text in difference if text not in ran.said] == [], ran.said
    assert "Traceback" not in ran.said
    assert len(ran.trials()) == 2


def test_changed_directions_are_refused(tmp_path: Path) -> None:
    same = ["hydra.sweeper.study_name=mine", LIST, "hydra.sweeper.n_trials=1"]
    assert sweep(tmp_path / "sweep", *same).status == 0
    ran = sweep(
        tmp_path / "sweep", *same[:2], "hydra.sweeper.n_trials=2",
        "hydra.sweeper.direction=maximize",
    )  # fmt: skip
    assert ran.status == 1
    assert "hydra.sweeper.direction=['maximize']: study mine has ['minimize']" in ran.said


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refused(tmp_path / "sweep", LIST, f"hydra.sweep.dir={tmp_path}/file/sweep")
    assert f"hydra.sweep.dir={tmp_path}/file/sweep: it cannot be made (Not a directory)" in said


def test_a_ray_cluster_that_nobody_is_at_is_told_at_once() -> None:
    node = OmegaConf.create({"ray": {"init": {"address": "127.0.0.1:9"}}})
    with pytest.raises(SweepError, match=r"address=127\.0\.0\.1:9: no Ray cluster answers there"):
        checks.launcher(node)
    for other in ({}, {"ray": {"init": {}}}, {"ray": {"init": {"address": "auto"}}}):
        checks.launcher(OmegaConf.create(other))


def test_a_launcher_that_cannot_start_is_one_message(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="is the extra slurm")
    said = refused(tmp_path / "sweep", LIST, "hydra/launcher=submitit_slurm")
    assert "hydra/launcher=submitit_slurm: it cannot start any worker: " in said
    assert "starting it again" not in said


@pytest.mark.parametrize(("sampler", "package"), [("gp", "torch"), ("cmaes", "cmaes")])
def test_a_sampler_names_the_package_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str, package: str
) -> None:
    # imported by Python itself at its start: from then on the package is as if not installed
    (tmp_path / "sitecustomize.py").write_text(f"import sys; sys.modules[{package!r}] = None")
    monkeypatch.setenv("SWEEP_TEST_PATH", str(tmp_path))
    said = refused(tmp_path / "sweep", FLOAT, f"hydra/sweeper/sampler={sampler}")
    wanted = rf"it needs the package {package}( scipy)?; try pip install {package}( scipy)?\n"
    assert re.search(wanted, said), said


def test_refuses_beside_the_official_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    official = tmp_path / "installed/hydra_plugins/hydra_optuna_sweeper"
    official.mkdir(parents=True)
    (official / "__init__.py").touch()
    monkeypatch.setenv("SWEEP_TEST_PATH", str(tmp_path / "installed"))
    said = refused(tmp_path / "sweep", LIST)
    assert "hydra-optuna-sweeper is installed" in said
    assert "pip uninstall hydra-optuna-sweeper" in said


def test_a_script_without_a_guard_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path(__file__).with_name("failing_app.py").read_text()
    guarded = 'if __name__ == "__main__":\n    main()\n'
    assert guarded in text
    script = tmp_path / "unguarded.py"
    script.write_text(text.replace(guarded, "main()\n"))
    ran = sweep(tmp_path / "sweep", LIST, app=script)
    assert ran.status == 0, ran.said
    assert len(ran.trials()) == 3
