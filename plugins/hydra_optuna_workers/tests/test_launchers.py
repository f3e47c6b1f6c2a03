"""Ray and submitit start the worker loops; what they start keeps the study's promises."""

from __future__ import annotations

import importlib.util
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from tests.processes import eventually

pytestmark = pytest.mark.slow

TASK = """
import hydra
from hydra_plugins.optuna_workers import current_trial

@hydra.main(version_base="1.3", config_path=None, config_name=None)
def main(cfg):
    current_trial().set_user_attr("seen", dict(current_trial().params))
    return cfg.x ** 2

if __name__ == "__main__":
    main()
"""

PICKLES = "+hydra.callbacks.info._target_=hydra.experimental.callbacks.PickleJobInfoCallback"

CLUSTER = """
import sys, ray
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
print("address", ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""
STARTS_IN = 120
"""Seconds that a cluster may take: its own programs start one after another."""

RAY = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


def needs(package: str, extra: str) -> None:
    if importlib.util.find_spec(package) is None:
        assert not os.environ.get("CI"), f"CI installs {package}"
        pytest.skip(f"needs {package}: pip install 'hydra-optuna-workers[{extra}]'")


def sweep(folder: Path, *words: str) -> list[optuna.trial.FrozenTrial]:
    """Run six trials in two workers and return them."""
    app = folder / "app.py"
    app.write_text(TASK)
    command = [
        sys.executable, str(app), "-m", "hydra/sweeper=optuna_workers", "+x=interval(-3, 3)",
        "hydra.sweeper.n_trials=6", "hydra.sweeper.n_jobs=2", "hydra.sweeper.study_name=s",
        f"hydra.sweep.dir={folder}/sweep", PICKLES, *words,
    ]  # fmt: skip
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=200, cwd=folder, env={**os.environ, **RAY}
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{folder}/sweep/study.db")
    for trial in study.get_trials():
        kept = folder / f"sweep/{trial.number}/.hydra/job_return.pickle"
        assert pickle.loads(kept.read_bytes()).return_value == trial.value
    return study.get_trials()


def check(trials: list[optuna.trial.FrozenTrial]) -> None:
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 6
    assert sorted(trial.user_attrs["slot"] for trial in trials) == list(range(6))
    assert all(trial.user_attrs["seen"] == trial.params for trial in trials)
    assert all(trial.value == pytest.approx(trial.params["x"] ** 2) for trial in trials)


def test_submitit_on_this_machine(tmp_path: Path) -> None:
    needs("hydra_plugins.hydra_submitit_launcher", "slurm")
    check(sweep(tmp_path, "hydra/launcher=submitit_local"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Ray cluster that runs already, as another person's would."""
    needs("hydra_plugins.hydra_ray_launcher", "ray")
    said = tmp_path_factory.mktemp("ray") / "said.txt"

    def address() -> str:
        found = re.search(r"^address (\S+:\d+)$", said.read_text(), re.MULTILINE)
        return found[1] if found else ""

    with said.open("w") as file, subprocess.Popen(
        [sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=file, stderr=file,
        text=True, env={**os.environ, **RAY},
    ) as process:  # fmt: skip
        try:
            eventually(lambda: bool(address()) or process.poll() is not None, seconds=STARTS_IN)
            assert address(), f"no Ray cluster within {STARTS_IN} s:\n{said.read_text()}"
            yield address()
            assert process.stdin
            process.stdin.close()
            process.wait(30)
        finally:
            process.kill()


def test_ray_on_an_existing_cluster(cluster: str, tmp_path: Path) -> None:
    check(sweep(tmp_path, "hydra/launcher=ray", f"hydra.launcher.ray.init.address={cluster}"))
