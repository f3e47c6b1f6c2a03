"""Finds the photos of a folder, with the class and split that the names of its folders say."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from catdog.data import spelling
from catdog.data.packed.members import without_ending
from catdog.data.spelling import Found as Found
from catdog.data.spelling import Notify
from catdog.errors import DataError, listed

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


def find_in_folders(
    root: Path, notify: Notify = lambda line: None, classes: Sequence[str] = ()
) -> list[Found]:
    """List the files in class folders, or in train, val and test with class folders inside.

    Folders whose names differ only in capitals are one class if they are in different splits.

    Args:
        root: The folder; one that only contains another folder stands for that one.
        notify: Called with a line about what was left out, or could be read in another way.
        classes: ``data.classes``: names that are classes as they are written there.

    Returns:
        All files, whether they are photos or not, in the order of their paths.

    Raises:
        DataError: the folder is missing, has no class folders, or mixes them with splits, or
            the names of two in one split differ only in capitals.
    """
    return spelling.joined(root, _find_in_folders(root, notify), classes, notify, ask=True)


def _find_in_folders(root: Path, notify: Notify) -> list[Found]:
    folders, wrapper = _subfolders(root), None
    while len(folders) == 1 and _subfolders(folders[0]):
        root = wrapper = folders[0]  # archives often wrap a single folder
        folders = _subfolders(root)
    ready = {folder: split for folder in folders if (split := split_named(folder.name))}
    if ready and len(ready) == len(folders):
        _tell_loose(root, notify)
        return _in_splits(root, ready, notify)
    if len(ready) > 1 or any(_subfolders(folder) for folder in ready):
        raise _unclear(root, folders, ready)
    if not folders:
        raise _without_folders(root)
    _tell_loose(root, notify)
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


def _in_splits(root: Path, ready: dict[Path, str], notify: Notify) -> list[Found]:
    found: list[Found] = []
    for folder, split in ready.items():
        inner = _subfolders(folder)
        if len(inner) == 1 and split_named(inner[0].name) == split:
            folder, inner = inner[0], _subfolders(inner[0])  # such as test_set/test_set/cats
        if inner:
            _tell_loose(folder, notify)
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


def _in_class(folder: Path, split: str | None, notify: Notify) -> list[Found]:
    """List the files of a class folder, which may have its own train, val and test inside."""
    label = folder.name
    inner = {sub: own for sub in _subfolders(folder) if (own := split_named(sub.name))}
    if split is None and len(set(inner.values())) > 1 and len(inner) == len(_subfolders(folder)):
        return [Found(path, label, own) for sub, own in inner.items() for path in walk(sub)]
    files = walk(folder)
    if not files:
        notify(f"{folder.name!r} is an empty folder, so there is no such class")
    return [Found(path, label, split) for path in files]


PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
"""How names of most photos end, in small letters."""


def _loose(folder: Path) -> int:
    """Return how many photos lie in a folder itself."""
    with os.scandir(folder) as entries:
        return sum(
            one.name.lower().endswith(PHOTO_ENDINGS)
            and not _is_ignored(one.name) and one.is_file()
            for one in entries
        )  # fmt: skip


def _tell_loose(folder: Path, notify: Notify) -> None:
    if count := _loose(folder):
        notify(f"Left out {count:,} photos in {folder.name} itself: they are in no class folder")


def _without_folders(root: Path) -> DataError:
    """Return the error for a folder without class folders; it says what is there instead."""
    fix = "Expected <class>/<photo>, one folder per class"
    packed = sorted(path.name for path in root.iterdir() if without_ending(path.name))
    if packed:
        return DataError(
            root,
            f"no class folders in it, but archives ({listed(packed)})",
            "Unpack them there, each into a folder of its name, or name one of them in data.path",
        )
    if count := _loose(root):
        return DataError(
            root,
            f"no class folders in it, only {count:,} photos",
            f"{fix}; for files called cat.0.jpg: data=kaggle; catdog.predict needs no classes",
        )
    return DataError(root, "no class folders in it", fix)


def _unclear(root: Path, folders: list[Path], ready: dict[Path, str]) -> DataError:
    splits = ", ".join(folder.name for folder in ready)
    others = ", ".join(folder.name for folder in folders if folder not in ready)
    return DataError(
        root,
        f"ready-made splits ({splits}) stand beside other folders ({others})",
        f"If {splits} are splits, leave only train, val and test there; if they are classes, give "
        "them other names",
    )


def find_by_name(
    root: Path, notify: Notify = lambda line: None, classes: Sequence[str] = ()
) -> list[Found]:
    """List the files named ``<class>.<number>.jpg``, as in Kaggle's dogs-vs-cats.

    Args:
        root: The folder; its subfolders are searched too.
        notify: Called with a line about what was left out, or could be read in another way.
        classes: ``data.classes``: names that are classes as they are written there.

    Raises:
        DataError: the folder is missing or has no such file.
    """
    _subfolders(root)
    pattern = re.compile(r"([^.]+)\.\d+\.\w+$")
    paths = walk(root)
    found = [
        Found(path, match.group(1), None)
        for path in paths
        if (match := pattern.match(os.path.basename(path)))
    ]
    if not found:
        raise DataError(root, "no files named like cat.0.jpg", "For class folders use data=folder")
    known = {item.path for item in found}
    others = [p for p in paths if p not in known and p.lower().endswith(PHOTO_ENDINGS)]
    if others:
        notify(f"Left out {len(others):,} photos: not named like cat.0.jpg, so they have no label")
    return spelling.joined(root, found, classes, notify, ask=False)


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
