"""One line of the doctor's."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, WARNING, RED = "ok", "-", "warning", "red"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's.

    Attributes:
        mark: ``OK``, ``NOTE``, ``WARNING`` or ``RED``.
        name: What was looked at.
        said: What was found.
        fix: What to do about it; empty where nothing is to be done.
    """

    mark: str
    name: str
    said: str
    fix: str = ""
