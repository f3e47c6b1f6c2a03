"""One line of catdog.doctor's report."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, WARNING, RED = "ok", "-", "warning", "red"


@dataclass(frozen=True)
class Finding:
    """One line of catdog.doctor's report.

    Attributes:
        mark: ``OK``, ``NOTE``, ``WARNING`` or ``RED``.
        name: What was checked.
        text: What was found.
        fix: What to do about it; empty if nothing is to be done.
    """

    mark: str
    name: str
    text: str
    fix: str = ""
