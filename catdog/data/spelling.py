"""Classes whose names differ only in capitals, or in how their accents are written."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple

from catdog.errors import DataError, listed

Notify = Callable[[str], None]
"""Called with a line about what was left out, or could be read in another way."""


class Found(NamedTuple):
    """A file that should be a photo.

    Attributes:
        path: The file.
        label: Name of its class.
        split: Its split where the data set has ready-made ones, else None.
    """

    path: str
    label: str
    split: str | None


def composed(name: str) -> str:
    """Return a name with composed accents: macOS decomposes those of folders."""
    return unicodedata.normalize("NFC", name)


def match(names: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Find names among others, whatever their capitals and accents.

    Args:
        names: Names.
        known: The others.

    Returns:
        The other name by name; without those that are not among them, or could be several.

    Example:
        >>> match(["cat", "Dog", "bird"], ["cat", "Cat", "dog"])
        {'cat': 'cat', 'Dog': 'dog'}
    """
    found = {}
    for name in names:
        alike = [one for one in known if _plain(one) == _plain(name)]
        if name in known or len(alike) == 1:
            found[name] = name if name in known else alike[0]
    return found


def _plain(name: str) -> str:
    return composed(name).lower()


def joined(
    root: Path, found: Sequence[Found], classes: Sequence[str], notify: Notify, *, ask: bool
) -> list[Found]:
    """Give one name to classes whose names differ only in capitals or in how accents are written.

    Args:
        root: The folder, for messages.
        found: The files.
        classes: ``data.classes``: names that are classes as they are written there.
        notify: Called with a line about each class whose spellings were joined.
        ask: Whether to refuse two spellings in one split, which may be two classes.

    Raises:
        DataError: that is so.
    """
    names = {item.label: composed(item.label) for item in found}
    for name, count in Counter(names.values()).items():
        if count > 1:
            notify(f"{name!r} is there with composed and with decomposed accents: one class")
    labelled = [item._replace(label=names[item.label]) for item in found]
    splits: dict[str, dict[str, set[str | None]]] = {}
    for item in labelled:
        spellings = splits.setdefault(_plain(item.label), {})
        spellings.setdefault(item.label, set()).add(item.split)
    chosen: dict[str, str] = {}
    for spellings in splits.values():
        if len(spellings) > 1 and not spellings.keys() <= set(classes):
            if ask and _together(spellings):
                raise _unclear(root, sorted(spellings), sorted(set(names.values())))
            name = _spelling(spellings, classes)
            chosen |= dict.fromkeys(spellings, name)
            told = " and ".join(map(repr, sorted(spellings)))
            notify(f"{told} differ only in capitals: one class, {name!r}")
    return [item._replace(label=chosen.get(item.label, item.label)) for item in labelled]


def _together(splits: Mapping[str, Set[str | None]]) -> bool:
    """Return whether two spellings are in one split."""
    return len(set().union(*splits.values())) < sum(map(len, splits.values()))


def _spelling(splits: Mapping[str, Set[str | None]], classes: Sequence[str]) -> str:
    """Return which of some spellings counts: that of ``data.classes``, else of train."""
    asked = [name for name in classes if name in splits]
    return min(asked or sorted(splits), key=lambda name: "train" not in splits[name])


def _unclear(root: Path, names: Sequence[str], every: Sequence[str]) -> DataError:
    return DataError(
        root,
        f"folders {listed(names)} differ only in capitals",
        "If they are one class, put their photos into one folder; if not, name all classes: "
        f"'data.classes=[{','.join(every)}]'",
    )
