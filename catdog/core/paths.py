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


_typed_in: Path | None = None


def remember(folder: Path | str) -> None:
    """Say in which folder the command was typed, since Hydra's jobs may run in another one.

    Args:
        folder: What relative paths of the command line are relative to.
    """
    global _typed_in
    _typed_in = Path(folder)


def here() -> Path:
    """Return the folder that the command was typed in; the current one if nobody has said."""
    return _typed_in or Path.cwd()


def root() -> Path:
    """Return the project root: the clone, or for an installed wheel the folder of the command."""
    clone = PACKAGE.parent
    return clone if (clone / "conf" / "train.yaml").is_file() else here()


def expanded(text: str | Path) -> Path:
    """Return a path as a person means it: ``~`` is their home, unless something is named so.

    Example:
        >>> expanded("~/photos") == Path.home() / "photos", expanded("~no-such-user/x").as_posix()
        (True, '~no-such-user/x')
    """
    return Path(text) if Path(text).exists() else Path(os.path.expanduser(text))


def store(uri: str | None, folder: Path) -> str:
    """Return the address of the MLflow store.

    Args:
        uri: Where given, this is it; else the environment's ``MLFLOW_TRACKING_URI``.
        folder: If neither is set, the store is the SQLite file ``mlruns/mlflow.db`` in it.

    Returns:
        The address; a SQLite file's with its absolute path, so that it is the same in all folders.

    Example:
        >>> store("http://127.0.0.1:5000", Path("/home/me"))
        'http://127.0.0.1:5000'
        >>> store("sqlite:///runs.db", Path("/home/me")) == f"sqlite:///{here()}/runs.db"
        True
    """
    default = f"sqlite:///{folder}/mlruns/mlflow.db"
    address = uri or os.environ.get("MLFLOW_TRACKING_URI") or default
    scheme, separator, file = address.partition(":///")
    if scheme.startswith("sqlite") and separator and file and not file.startswith(("/", ":")):
        return f"{scheme}:///{here() / file}"
    return address


def sqlite_file(url: str) -> Path:
    """Return the file of a SQLite database's address.

    Example:
        >>> sqlite_file("sqlite:////data/mlflow.db?timeout=5").as_posix()
        '/data/mlflow.db'
    """
    return Path(url.partition(":///")[2].split("?")[0])
