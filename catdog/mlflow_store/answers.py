"""Whether an MLflow store on another machine answers, asked before anything waits for it.

MLflow itself tries seven times, which takes from seconds to minutes.
"""

from __future__ import annotations

import ssl
import urllib.error
import urllib.parse
import urllib.request

from catdog.core import paths
from catdog.errors import ConfigError

SECONDS = 5
"""Longest wait for a first answer."""


def check(uri: str, key: str = "tracking.uri", fix: str = "") -> None:
    """Check that the machine that an address names answers; a file's address passes.

    That it asks for a login is an answer.

    Args:
        uri: Address of an MLflow store.
        key: What names it, for messages.
        fix: What to try instead; empty for a file.

    Raises:
        ConfigError: nothing answers there within 5 s, or only with an error of the server's.

    Example:
        >>> check("sqlite:////data/mlflow.db")
    """
    parts = urllib.parse.urlsplit(uri)
    try:
        if parts.scheme in ("http", "https"):
            _ask(parts)
        elif parts.scheme.startswith(("postgresql", "mysql")):
            _connect(uri)
        return
    except urllib.error.HTTPError as error:
        reason: object = error
        if error.code < 500:
            return
    except (OSError, ValueError) as error:  # the latter: no such port
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):  # MLflow has settings of its own for certificates
            return
    told = getattr(reason, "strerror", None) or str(reason).splitlines()[0]
    shown, why = paths.without_password(uri), paths.without_password(told, of=uri)
    found = f"the MLflow store cannot be used: {why}"
    raise ConfigError(key, shown, found, fix or f"{key}=sqlite:////tmp/mlflow.db") from None


def _connect(uri: str) -> None:
    import sqlalchemy as sa

    try:
        engine = sa.create_engine(uri, connect_args={"connect_timeout": SECONDS})
        engine.connect().close()
        engine.dispose()
    except ImportError as error:
        raise OSError(f"{error}; pip install 'catdog-lab[postgres]'") from None
    except sa.exc.SQLAlchemyError as error:
        raise OSError(getattr(error, "orig", None) or error) from None


def _ask(parts: urllib.parse.SplitResult) -> None:
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    with urllib.request.urlopen(f"{address}/health", timeout=SECONDS):
        return
