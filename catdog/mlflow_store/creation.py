"""Lets one process at a time make the tables of an MLflow store in a file."""

from __future__ import annotations

import errno
import os

from filelock import FileLock

from catdog.core import paths
from catdog.errors import ConfigError


def lock(uri: str) -> FileLock:
    """Return the lock of a store's creation.

    Args:
        uri: Address of the store, a SQLite file; its folder is made if it is missing.

    Raises:
        ConfigError: it cannot be written; MLflow would try for minutes to open it.

    Example:
        >>> import tempfile
        >>> with lock(f"sqlite:///{tempfile.mkdtemp()}/mlflow.db"):
        ...     print("alone")
        alone
    """
    database = paths.sqlite_file(uri)
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        for path in (database.parent, database):
            if path.exists() and not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, f"{path} is read-only")
    except OSError as error:
        raise ConfigError(
            "tracking.uri", uri, f"cannot be written ({error.strerror})", "tracking.uri=<store>"
        ) from None
    return FileLock(f"{database}.lock")
