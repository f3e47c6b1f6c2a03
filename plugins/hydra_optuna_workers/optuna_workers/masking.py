"""Texts as they may be shown: the one place that knows how passwords and keys stand in them."""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_SERVER = re.compile(
    r"(https?://[^/:?#\[]*):(?!\*{3}@)(?:[^/?#]*|(?!\d*(?:[/?#]|$)).*)@", re.IGNORECASE
)
"""A page may hold ``@`` behind its host; but ``:`` before anything but a port is a password."""

_DATABASE = re.compile(
    r"(?<!/)(?<!http:)(?<!https:)(//[^/:]*):(?!\*{3}@)(?:[^?]*(?=@[^@?]*(?:\?[\w.-]+=|$))|.*)@",
    re.IGNORECASE,
)
"""SQLAlchemy takes ``/`` for a part of a password, and people forget to write ``@`` as ``%40``:
so a password ends at the last ``@``, those behind a question mark and a key left out.
"""

_SECRET = r"password|passwd|secret|token|api_?key|access_?key|private_?key|credential"

_OPTION = re.compile(rf"([?&]\w*(?:{_SECRET})\w*=)[^&]*", re.IGNORECASE)

_NAMED = re.compile(
    rf"((?<![?&\w])[\w.]*(?:{_SECRET})(?:_?id)?[\"']?\s*[=:]\s*)"
    r"(\"[^\"\n]*\"|'[^'\n]*'|[^\s,;&\"'}})\]]+)",
    re.IGNORECASE,
)
"""``AWS_SECRET_ACCESS_KEY=...`` on a command line, ``secret: ...`` in YAML, in a patch."""

_CALL = re.compile(r"^[\w.]*[(\[$]|^(null|none|true|false)$|^[\d.]+$", re.IGNORECASE)
"""What stands behind such a name in code, and is no secret: a call, a number."""

_NAME = re.compile(_SECRET, re.IGNORECASE)

SHORTEST = 8
"""Characters from which on a secret is found inside of other text."""

_remembered: dict[str, str] = {}


def remember(value: str, instead: str = "***") -> None:
    """Hide a value from now on, wherever ``without_password`` meets it.

    Args:
        value: What must not be shown, such as the value of an environment variable; of less than
            8 characters it is not hidden, as it would be found in the middle of words.
        instead: Shown in its place.

    Example:
        >>> remember("value of a variable", "${oc.env:MINE}")
        >>> without_password("data.path='value of a variable'")
        "data.path='${oc.env:MINE}'"
    """
    if len(value) >= SHORTEST:
        _remembered[value] = instead


def remember_address(url: str) -> None:
    """Hide the password of an address that this process opens, and what a driver makes of it.

    Of a password with an ``@`` that was not written as ``%40`` drivers take the end for a part of
    the host, and say that there is no such host.

    Example:
        >>> remember_address("postgresql://me:fi@rst@db/x")
        >>> without_password("no host 'rst@db'")
        "no host '***@db'"
    """
    for password in passwords(url):
        remember(password)
        host = re.split(r"[:/?#]", url.rpartition("@")[2])[0]
        for found in re.finditer("@", password):
            _remembered[f"{password[found.end() :]}@{host}"] = f"***@{host}"


def without_password(url: str, of: str = "", *, code: bool = False) -> str:
    r"""Return an address, or any other text, without passwords and keys.

    What is no address is returned as it is. Where it is not clear what belongs to a password, too
    much is hidden rather than too little.

    Args:
        url: A database URL, as SQLAlchemy and MLflow take them, or a server's; or any text.
        of: An address of whose password no part is to be shown: a driver's message may repeat
            what stands before an ``@`` that was not written as ``%40``.
        code: Whether it is code, such as a patch, which ``token = next(tokens)`` is a part of:
            of names only those in capitals, as environment variables have, are followed.

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
        >>> without_password("hydra.job.env_set.AWS_SECRET_ACCESS_KEY=abc/def seed=1")
        'hydra.job.env_set.AWS_SECRET_ACCESS_KEY=*** seed=1'
        >>> without_password('no host "ret@db"', of="postgresql://me:sec@ret@db/x")
        'no host "***@db"'
    """
    values = sorted(_values(of), key=lambda pair: -len(pair[0]))
    return "\n".join(_masked(line, values, code) for line in url.split("\n"))


def _masked(line: str, values: Sequence[tuple[str, str]], code: bool) -> str:
    shown = _OPTION.sub(r"\1***", line)
    for address in (_SERVER, _DATABASE):
        shown = address.sub(r"\1:***@", shown)
    shown = _NAMED.sub(_of_variable if code else _named, shown)
    for value, instead in values:
        shown = shown.replace(value, instead)
    return shown


def _of_variable(found: re.Match[str]) -> str:
    return _named(found) if found[1].rstrip("=: \"'").isupper() else found[0]


def _named(found: re.Match[str]) -> str:
    value = found[2].strip("\"'")
    return found[0] if not value or _CALL.match(value) else f"{found[1]}***"


def _values(of: str) -> Iterator[tuple[str, str]]:
    """Yield what must not be shown: parts of a password, this process's secrets."""
    for password in passwords(of):
        parts = {password, urllib.parse.unquote(password), *re.split(r"[@/:?#%]", password)}
        yield from ((part, "***") for part in parts if len(part) > 1)
    for name, value in os.environ.items():
        if len(value) >= SHORTEST and _NAME.search(name):
            yield value, "***"
        elif "://" in value and "@" in value:
            yield from ((one, "***") for one in passwords(value) if len(one) >= SHORTEST)
    yield from list(_remembered.items())


def passwords(url: str) -> list[str]:
    """Return what ``without_password`` hides of an address; usually one password, or none.

    Example:
        >>> passwords("postgresql://me:sec@ret@db/x"), passwords("sqlite:///study.db")
        (['sec@ret'], [])
    """
    hidden = [found[0].partition("=")[2] for found in _OPTION.finditer(url)]
    for address in (_SERVER, _DATABASE):
        hidden += [found[0][len(found[1]) + 1 : -1] for found in address.finditer(url)]
    return [one for one in hidden if one and one != "***"]


def without_passwords(held: Any) -> Any:
    """Return lists and mappings of texts as ``without_password`` does, by the names of keys too.

    Example:
        >>> without_passwords({"AWS_SECRET_ACCESS_KEY": "abc", "words": ["token=abc"]})
        {'AWS_SECRET_ACCESS_KEY': '***', 'words': ['token=***']}
    """
    if isinstance(held, Mapping):
        return {key: _of_key(key, value) for key, value in held.items()}
    if isinstance(held, (list, tuple)):
        return [without_passwords(value) for value in held]
    return without_password(held) if isinstance(held, str) else held


def _of_key(key: Any, value: Any) -> Any:
    named = isinstance(key, str) and _NAME.search(key) and isinstance(value, str)
    plain = named and value and not value.startswith("${")
    return "***" if plain else without_passwords(value)
