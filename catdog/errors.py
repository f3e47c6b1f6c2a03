"""Errors whose message is meant for the user: what was set, what is wrong with it, and the fix.

Any other exception is a bug in catdog and is shown with its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence

from optuna_workers.masking import without_password
from optuna_workers.shown import shown as shown

SHOWN = 5
"""Largest number of names in a message."""

DIVERGED = (
    "its training diverged; train again with a smaller optimizer.lr or with optimizer.clipnorm=1"
)
"""What to say of a model that is not finite."""


class CatdogError(Exception):
    """Base of the errors that commands show as one message, without a traceback."""


class ConfigError(CatdogError):
    """A key of the configuration has a value that cannot work.

    Args:
        key: Full key, as on the command line: ``optimizer.lr``.
        found: The value it has; None is shown as YAML's ``null``.
        expected: What is accepted, or what is wrong with the value.
        fix: An override that works, or a command that helps.

    Example:
        >>> print(ConfigError("optimizer.lr", -1, "expected a value > 0", "optimizer.lr=0.001"))
        optimizer.lr=-1: expected a value > 0; try `optimizer.lr=0.001`
    """

    def __init__(self, key: str, found: object, expected: str, fix: str = "") -> None:
        self.key = key
        value, why = _harmless("null" if found is None else found), _harmless(expected)
        how = f"; try `{_harmless(fix)}`" if fix else ""
        super().__init__(f"{shown(key)}={value}: {why}{how}")


class FullDiskError(ConfigError):
    """What is to be written does not fit; no trial of a sweep is to blame for it."""


class DataError(CatdogError):
    """Photos, an archive or a stored file cannot be used as they are.

    Args:
        path: The file or folder.
        found: What is wrong with it.
        fix: What the user can do about it.

    Example:
        >>> print(DataError("train.zip", "is not a zip file", "Download it again"))
        train.zip: is not a zip file. Download it again
    """

    def __init__(self, path: object, found: str, fix: str = "") -> None:
        self.path = str(path)
        how = f". {_harmless(fix)}" if fix else ""
        super().__init__(f"{_harmless(path)}: {_harmless(found)}{how}")


def _harmless(part: object) -> str:
    # each part by itself: where a password ends is not clear in a line with two addresses
    return shown(without_password(str(part)))


def listed(names: Sequence[str]) -> str:
    """Join names for a message; of many, the first five and the number of the others.

    Example:
        >>> listed(["a", "b"])
        'a, b'
        >>> listed("abcdefg")
        'a, b, c, d, e and 2 more'
    """
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
