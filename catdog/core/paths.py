"""Where things are: the configuration, the project root with mlruns/, databases."""

from __future__ import annotations

import os
import re
from pathlib import Path

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
        >>> store("http://127.0.0.1:5000", Path("/work"))
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


def without_password(url: str) -> str:
    """Return the address of a database or a server with its password hidden.

    Example:
        >>> without_password("postgresql://me:secret@db/catdog")
        'postgresql://me:***@db/catdog'
    """
    hidden = re.sub(r"([?&]password=)[^&]*", r"\1***", url)
    # a database's password may contain / and @; in a page's address they may follow the host
    end = "[^/]*" if url.startswith("http") else ".*"
    return re.sub(rf"//([^/@:]*):{end}@", r"//\1:***@", hidden)
