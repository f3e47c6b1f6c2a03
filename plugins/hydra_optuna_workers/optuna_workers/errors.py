"""Errors that a person can mend."""

from __future__ import annotations

from typing import Any

from hydra.errors import CompactHydraException


class SweepError(CompactHydraException):
    """A sweep was asked for that cannot run; Hydra shows the message without a traceback.

    Args:
        key: Config key or override that is wrong.
        found: Its value.
        reason: What is wrong with it.
        fix: What to write instead.
    """

    def __init__(self, key: str, found: Any, reason: str, fix: str) -> None:
        super().__init__(f"{key}={found}: {reason}; try {fix}")
