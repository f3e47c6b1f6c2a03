"""Errors that a person can mend."""

from __future__ import annotations

from typing import Any

from hydra.errors import HydraException


class SweepError(HydraException):
    """A sweep was asked for that cannot run.

    Args:
        key: Config key or override that is wrong.
        found: Its value.
        reason: What is wrong with it.
        fix: What to write instead.
    """

    def __init__(self, key: str, found: Any, reason: str, fix: str) -> None:
        super().__init__(f"{key}={found}: {reason}; try {fix}")
