"""Where things are: the configuration, the project root with mlruns/, databases."""

from __future__ import annotations

import os
from pathlib import Path

from optuna_workers.masking import remember_address as remember_address
from optuna_workers.masking import without_password as without_password

PACKAGE = Path(__file__).resolve().parents[1]


def configs() -> Path:
    """Return the folder ``conf``: beside the package in a clone, inside it in a wheel."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"


def sweeps() -> Path:
    """Return the folder ``sweeps`` of the searches, which lies beside ``conf``."""
    return configs().parent / "sweeps"


def root() -> Path:
    """Return the project root: the clone, or the current folder for an installed wheel."""
    clone = PACKAGE.parent
    return clone if (clone / "conf" / "train.yaml").is_file() else Path.cwd()


def store(uri: str | None, folder: Path) -> str:
    """Return the address of the MLflow store.

    Args:
        uri: Where given, this is it; else the environment's ``MLFLOW_TRACKING_URI``.
        folder: If neither is set, the store is the SQLite file ``mlruns/mlflow.db`` in it.

    Example:
        >>> store("http://127.0.0.1:5000", Path("/home/me"))
        'http://127.0.0.1:5000'
    """
    default = f"sqlite:///{folder}/mlruns/mlflow.db"
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or default


def sqlite_file(url: str) -> Path:
    """Return the file of a SQLite database's address.

    Example:
        >>> sqlite_file("sqlite:////data/mlflow.db?timeout=5").as_posix()
        '/data/mlflow.db'
    """
    return Path(url.partition(":///")[2].split("?")[0])
