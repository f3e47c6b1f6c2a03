"""Where things live: the configs, the project root that mlruns/ belongs to, databases."""

from __future__ import annotations

import os
import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def configs() -> Path:
    """Return the folder of configs: inside an installed wheel, beside the package in a clone."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"


def sweeps() -> Path:
    """Return the folder of searches, which lies where the configs' does."""
    return configs().parent / "sweeps"


def root() -> Path:
    """Return the clone's folder, or the current one when catdog is an installed wheel."""
    clone = PACKAGE.parent
    return clone if (clone / "conf" / "train.yaml").is_file() else Path.cwd()


def store(uri: str | None, folder: Path) -> str:
    """Return the MLflow store that is meant: named, else by the environment, else a folder's."""
    default = f"sqlite:///{folder}/mlruns/mlflow.db"
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or default


def sqlite_file(url: str) -> Path:
    """Return the file of a SQLite database."""
    return Path(url.partition(":///")[2].split("?")[0])


def without_password(url: str) -> str:
    """Return a database's or a server's address without its password."""
    hidden = re.sub(r"([?&]password=)[^&]*", r"\1***", url)
    # a database's password may hold / and @, a page's address may hold them behind its host
    end = "[^/]*" if url.startswith("http") else ".*"
    return re.sub(rf"//([^/@:]*):{end}@", r"//\1:***@", hidden)
