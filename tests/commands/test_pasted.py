"""``catdog.command``: pasted into a shell anywhere, it gives the run's figures again."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Ended, Lab, Run, ended, environment, succeeded

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

ODD = "ph otos, ü (1)'s=[x]~"
"""A folder that bash, Hydra's grammar and OmegaConf would each read as something else."""


@pytest.fixture(scope="module")
def own(lab: Lab) -> Iterator[Path]:
    """The user's own folder of configurations, and photos in a folder with an odd name."""
    shutil.copytree(lab.photos, lab.folder / ODD)
    folder = lab.folder / "my conf"
    (folder / "data").mkdir(parents=True)
    mine = (
        "defaults: [train, {override head: mlp}, _self_]\n"
        'seed: 3\nhead: {units: [4]}\ntracking: {run_name: "it\'s = (ü)"}\n'
    )
    (folder / "mine.yaml").write_text(mine)
    (folder / "data/own.yaml").write_text(
        f'defaults: [demo, _self_]\nname: folder\npath: "{lab.folder / ODD}"\nlimit: 12\n'
    )
    yield folder
    shutil.rmtree(lab.folder / ODD)


def words(lab: Lab, *left: str) -> list[str]:
    usual = lab.overrides(trainer__epochs=1, lr_range__enabled="false")
    return [word for word in usual if word.partition("=")[0] not in left]


def pasted(lab: Lab, run: Run, name: str) -> Ended:
    """Paste a run's command into a shell in another folder."""
    folder = lab.folder / "home"
    folder.mkdir(exist_ok=True)
    line = f"{run.tags['catdog.command']} 'hydra.run.dir={lab.folder}/hydra/{name}'"
    return ended(
        subprocess.Popen(
            ["bash", "-c", line], cwd=folder, env=environment(folder, lab.fonts), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ),
        timeout=240,
    )  # fmt: skip


def test_a_run_with_a_configuration_of_ones_own(lab: Lab, own: Path) -> None:
    rest = words(lab, "data.path", "data", "optimizer.lr", "tracking.uri")
    uri = "tracking.uri=sqlite:///mlruns/mlflow.db"
    typed = [f"data.path={ODD}", "--config-name", "mine", "data=folder", uri, *rest]
    succeeded(lab.start("own", *typed, "--config-dir", "my conf"))
    run = lab.found("own")
    assert (run.params["seed"], run.params["head.units"]) == ("3", "[4]")
    away = own.rename(lab.folder / "away")
    try:
        said = pasted(lab, run, "own again")
        again = ended(lab.command("repeat", run.id, "--uri", lab.uri), timeout=240)
    finally:
        away.rename(own)
    assert said.status == 0, said.err
    assert lab.found("own again").results() == run.results()
    assert lab.found("own again").params["data.path"] == f"{lab.folder / ODD}"
    assert lab.found("own again").info.run_name == run.info.run_name == "it's = (ü)"
    assert again.status == 0, again.err


def test_a_sweep_with_an_option_of_ones_own_and_its_trials(lab: Lab, own: Path) -> None:
    rest = words(lab, "data", "data.path", "seed", "optimizer.lr")
    typed = ["data=own", "-m", "--config-dir=my conf", *rest, "optimizer.lr=0.01,0.001"]
    name = "hydra.sweeper.study_name=lr 2024 (ü)"
    scratch = lab.folder / "scratch"
    scratch.mkdir()
    succeeded(lab.start("own sweep", *typed, name, TMPDIR=str(scratch)))
    assert not list(scratch.iterdir()), "such as the files of TensorFlow's autograph"
    trial = lab.found("own sweep", "1")
    said = pasted(lab, trial, "own trial")
    assert said.status == 0, said.err
    assert lab.found("own trial").results() == trial.results()
    (parent,) = [run for run in lab.runs() if run.tags.get("optuna.study") == "lr 2024 (ü)" and
                 run.tags["catdog.kind"] == "sweep"]  # fmt: skip
    over = pasted(lab, parent, "unused")
    assert over.status == 0 and "lr 2024 (ü) is finished; nothing to do" in over.out
    best = ["+best=lr 2024 (ü)", f"tracking.uri={lab.uri}"]
    succeeded(lab.start("own best", *best))
    again = lab.found("own best")
    assert again.params["optimizer.lr"] in ("0.01", "0.001")
