"""Addresses as they may be shown: the one place that knows how passwords stand in them."""

from __future__ import annotations

import re

_SERVER = re.compile(r"(https?://[^/:?#\[]*):(?:[^/?#]*|(?!\d*(?:[/?#]|$)).*)@", re.IGNORECASE)
"""A page may hold ``@`` behind its host; but ``:`` before anything but a port is a password."""

_DATABASE = re.compile(
    r"(?<!/)(?<!http:)(?<!https:)(//[^/:]*):(?:[^?]*(?=@[^@?]*(?:\?[\w.-]+=|$))|.*)@",
    re.IGNORECASE,
)
"""SQLAlchemy takes ``/`` for a part of a password, and people forget to write ``@`` as ``%40``:
so a password ends at the last ``@``, those behind a question mark and a key left out.
"""

_OPTION = re.compile(r"([?&](?:\w*password|passwd)=)[^&]*", re.IGNORECASE)


def without_password(url: str) -> str:
    r"""Return the address of a database or a server without its password.

    What is no address is returned as it is. Where it is not clear what belongs to a password, too
    much is hidden rather than too little.

    Args:
        url: A database URL, as SQLAlchemy and MLflow take them, or a server's; or a line with one.

    Returns:
        The same text with ``***`` in place of each password.

    Example:
        >>> without_password("postgresql+psycopg://me:se/cr@et@db/studies")
        'postgresql+psycopg://me:***@db/studies'
        >>> without_password("postgresql+psycopg://me@db/studies?password=secret&sslmode=require")
        'postgresql+psycopg://me@db/studies?password=***&sslmode=require'
        >>> without_password("https://me:secret@mlflow.example/#/users/a@b")
        'https://me:***@mlflow.example/#/users/a@b'
        >>> without_password("http://127.0.0.1:5000/users/a@b")
        'http://127.0.0.1:5000/users/a@b'
        >>> without_password("sqlite:////home/me/study.db")
        'sqlite:////home/me/study.db'
    """
    shown = _OPTION.sub(r"\1***", url)
    for address in (_SERVER, _DATABASE):
        shown = address.sub(r"\1:***@", shown)
    return shown
