"""Errors that a person can act on: what was asked, what was found, and the fix.

Anything else that escapes is a bug in catdog and shows its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 5
"""How many names a message lists."""


class CatdogError(Exception):
    """Base of the errors whose message is meant for the person at the keyboard."""


class ConfigError(CatdogError):
    """A setting has a value that cannot work.

    Args:
        key: Full dotted key, as typed on the command line (``optimizer.lr``).
        found: The value that was given.
        expected: What would have been accepted.
        fix: An override that works, or the command that helps.
    """

    def __init__(self, key: str, found: object, expected: str, fix: str = "") -> None:
        self.key = key
        shown = "null" if found is None else found
        super().__init__(f"{key}={shown}: {expected}" + (f"; try `{fix}`" if fix else ""))


class DataError(CatdogError):
    """Photos, an archive or a stored file are not what they should be.

    Args:
        path: The file or folder concerned.
        found: What is wrong with it.
        fix: What the person can do about it.
    """

    def __init__(self, path: object, found: str, fix: str = "") -> None:
        self.path = str(path)
        super().__init__(f"{path}: {found}" + (f". {fix}" if fix else ""))


def listed(names: Sequence[str]) -> str:
    """Return the first few names as a message shows them."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
