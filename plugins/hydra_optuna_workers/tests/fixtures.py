"""Fixtures that other suites of this repository use too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Server, programs
from tests.processes import unavailable
from tests.stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A folder for sweeps that keep each study in its own SQLite file."""
    made = Stage(tmp_path)
    yield made
    made.clear()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A folder for sweeps that share one database, of either kind."""
    if request.param == "sqlite":
        made = Stage(tmp_path, f"sqlite:///{tmp_path}/shared.db")
    else:
        made = Stage(tmp_path, request.getfixturevalue("postgres"))
    yield made
    made.clear()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A PostgreSQL server for the whole session."""
    found = programs()
    if found is None:
        unavailable("needs a PostgreSQL server: apt install postgresql")
    try:
        import psycopg  # noqa: F401
    except ImportError:
        unavailable("needs psycopg: pip install 'hydra-optuna-workers[postgres]'")
    server = Server(found)
    yield server
    server.close()


@pytest.fixture
def postgres(postgres_server: Server) -> str:
    """URL of an empty PostgreSQL database."""
    return postgres_server.database()
