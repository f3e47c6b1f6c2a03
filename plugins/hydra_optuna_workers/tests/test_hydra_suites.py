"""Hydra's own suites for launchers and for whole applications, with this sweeper in place.

BatchedSweeperTestSuite is left out: it wants batches, and this sweeper has none.
"""

from __future__ import annotations

import importlib.util

import pytest
from hydra.test_utils.launcher_common_tests import IntegrationTestSuite, LauncherTestSuite

from tests.processes import unavailable

# some of the tasks return words, which are no objective and so fail
SWEEPER = ["hydra/sweeper=optuna_workers", "hydra.sweeper.max_failure_rate=1"]


@pytest.fixture
def launcher_there(launcher_name: str) -> None:
    if launcher_name == "joblib" and not importlib.util.find_spec(
        "hydra_plugins.hydra_joblib_launcher"
    ):
        unavailable("needs joblib's launcher: pip install 'hydra-optuna-workers[joblib]'")


@pytest.mark.usefixtures("launcher_there")
@pytest.mark.parametrize(
    ("launcher_name", "overrides"),
    [("basic", SWEEPER), pytest.param("joblib", SWEEPER, marks=pytest.mark.slow)],
)
class TestLauncher(LauncherTestSuite):
    pass


@pytest.mark.slow
@pytest.mark.usefixtures("launcher_there")
@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags", "launcher_name"),
    [
        ({}, ["-m", "hydra/launcher=basic", *SWEEPER], "basic"),
        ({}, ["-m", "hydra/launcher=joblib", *SWEEPER], "joblib"),
    ],
)
class TestIntegration(IntegrationTestSuite):
    @pytest.fixture(autouse=True)
    def _named(self, launcher_name: str) -> None:
        """Take the parameter that only ``launcher_there`` reads."""
