"""Finds the photos of a folder, with the class and split that the names of its folders say."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from catdog.errors import DataError

SPLIT_NAME = re.compile(
    r"(?:(?P<train>train(?:ing|s)?)|(?P<val>val(?:id|s)?|validations?|dev|eval)|(?P<test>tests?|testing))"
    r"(?:[ _-]?(?:set|data|images|photos|split)s?)?[ _-]?\d*"
)
"""Names of folders that are ready-made splits, in small letters; the group is the split."""

NO_PHOTOS = {
    "#recycle", "#snapshot", "$recycle.bin", "@eadir", "@recently-snapshot", "@recycle",
    "@sharebin", "@tmp", "desktop.ini", "lost+found", "system volume information", "thumbs.db",
}  # fmt: skip
"""Folders and files of storage and operating systems, in small letters."""


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


def find_in_folders(root: Path, notify: Callable[[str], None] = lambda line: None) -> list[Found]:
    """List the files in class folders, or in train, val and test with class folders inside.

    Args:
        root: The folder; one that only contains another folder stands for that one.
        notify: Called with a line about what was left out, or could be read in another way.

    Returns:
        All files, whether they are photos or not, in the order of their paths.

    Raises:
        DataError: the folder is missing, has no class folders, or mixes them with splits.
    """
    folders, wrapper = _subfolders(root), None
    while len(folders) == 1 and _subfolders(folders[0]):
        root = wrapper = folders[0]  # archives often wrap a single folder
        folders = _subfolders(root)
    ready = {folder: split for folder in folders if (split := split_named(folder.name))}
    if ready and len(ready) == len(folders):
        return _in_splits(root, ready, notify)
    if len(ready) > 1 or any(_subfolders(folder) for folder in ready):
        raise _unclear(root, folders, ready)
    if not folders:
        raise DataError(
            root, "no class folders in it", "Expected <class>/<photo>, one folder per class"
        )
    if wrapper and not split_named(wrapper.name):
        notify(
            f"{wrapper.name} is the only folder: the folders in it are the classes. If "
            f"{wrapper.name} is a class itself, put the folders of the others beside it"
        )
    return [item for folder in folders for item in _in_class(folder, None, notify)]


def split_named(name: str) -> str | None:
    """Return the split that a folder's name stands for, or None.

    Example:
        >>> [split_named(name) for name in ("Training", "test_set", "dev", "test1", "cat")]
        ['train', 'test', 'val', 'test', None]
    """
    match = SPLIT_NAME.fullmatch(name.lower())
    return match.lastgroup if match else None


def _in_splits(root: Path, ready: dict[Path, str], notify: Callable[[str], None]) -> list[Found]:
    found: list[Found] = []
    for folder, split in ready.items():
        inner = _subfolders(folder)
        if len(inner) == 1 and split_named(inner[0].name) == split:
            folder, inner = inner[0], _subfolders(inner[0])  # such as test_set/test_set/cats
        if inner:
            found += [item for label in inner for item in _in_class(label, split, notify)]
        elif split == "train":
            raise DataError(
                folder,
                "photos for training need class folders, and there is none in it",
                f"As a split: {folder.name}/<class>/<photo>; if {folder.name} is a class, give it "
                "another name; for files called cat.0.jpg: data=kaggle",
            )
        else:
            count = len(walk(folder))
            notify(f"Left out {folder.name}: no class folders in it, so {count:,} files no label")
    return found


def _in_class(folder: Path, split: str | None, notify: Callable[[str], None]) -> list[Found]:
    """List the files of a class folder, which may have its own train, val and test inside."""
    label = unicodedata.normalize("NFC", folder.name)  # macOS decomposes accents
    inner = {sub: own for sub in _subfolders(folder) if (own := split_named(sub.name))}
    if split is None and len(set(inner.values())) > 1 and len(inner) == len(_subfolders(folder)):
        return [Found(path, label, own) for sub, own in inner.items() for path in walk(sub)]
    files = walk(folder)
    if not files:
        notify(f"{folder.name!r} is an empty folder, so there is no such class")
    return [Found(path, label, split) for path in files]


def _unclear(root: Path, folders: list[Path], ready: dict[Path, str]) -> DataError:
    splits = ", ".join(folder.name for folder in ready)
    others = ", ".join(folder.name for folder in folders if folder not in ready)
    return DataError(
        root,
        f"ready-made splits ({splits}) stand beside other folders ({others})",
        f"If {splits} are splits, leave only train, val and test there; if they are classes, give "
        "them other names",
    )


def find_by_name(root: Path) -> list[Found]:
    """List the files named ``<class>.<number>.jpg``, as in Kaggle's dogs-vs-cats.

    Args:
        root: The folder; its subfolders are searched too.

    Raises:
        DataError: the folder is missing or has no such file.
    """
    _subfolders(root)
    pattern = re.compile(r"([^.]+)\.\d+\.\w+$")
    found = [
        Found(path, match.group(1), None)
        for path in walk(root)
        if (match := pattern.match(os.path.basename(path)))
    ]
    if not found:
        raise DataError(root, "no files named like cat.0.jpg", "For class folders use data=folder")
    return found


def _subfolders(root: Path) -> list[Path]:
    if not root.is_dir():
        raise DataError(root, "there is no such folder", "Check data.path")
    return sorted(p for p in root.iterdir() if p.is_dir() and not _is_ignored(p.name, "__"))


def _is_ignored(name: str, *prefixes: str) -> bool:
    return name.startswith((".", *prefixes)) or name.lower() in NO_PHOTOS


def walk(root: Path) -> list[str]:
    """List the files in a folder and below, in order; each folder once, whatever links to it.

    Args:
        root: The folder. Hidden files and those of storage and operating systems are left out.
    """
    found, seen = [], set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(n for n in subfolders if not _is_ignored(n, "__MACOSX"))
        found += [os.path.join(folder, name) for name in sorted(names) if not _is_ignored(name)]
    return found


def name_problem(path: str) -> str:
    """Return why TensorFlow cannot open a file of this name; empty if it can."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "TensorFlow reads only files whose name is UTF-8; rename it"
    return ""
