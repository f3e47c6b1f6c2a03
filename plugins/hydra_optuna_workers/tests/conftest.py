"""What every test has: a home of its own, no settings from outside, Hydra with a clean slate."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.fixtures import postgres, postgres_server, shared, stage  # noqa: F401
from tests.stage import APP, ROOT

UNSET = ("HYDRA_", "OMP_NUM_", "TF_NUM_", "MKL_NUM_", "OPENBLAS_NUM_", "COLUMNS")
"""Environment variables, by prefix, that would change what a sweep does or shows."""

collect_ignore_glob = ["app/*", "old/*", "failing_app.py"]
"""Programs that tests start: to look for doctests in them would register their configurations."""

# how long an example takes says more about the machine than about the code
settings.register_profile("sweeper", deadline=None)
settings.load_profile("sweeper")

# a shell starts `pytest &` with Ctrl-C ignored, nohup ignores a closed terminal; so would every
# command that tests end by these
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test an empty working folder and home; commands find the plugin and the stub."""
    for name in [name for name in os.environ if name.startswith(UNSET)]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(APP), *filter(None, known)]))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    forget_hydra()
    yield
    forget_hydra()


def forget_hydra() -> None:
    """Let no test see what another, or another suite, started Hydra with."""
    if "hydra" in sys.modules:
        from hydra.core.global_hydra import GlobalHydra
        from hydra.core.singleton import Singleton
        from hydra.version import VersionBase

        GlobalHydra.instance().clear()
        Singleton._instances.pop(VersionBase, None)
