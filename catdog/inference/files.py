"""List the photo files in folders and archives."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from catdog.core import paths
from catdog.errors import DataError
from catdog.progress import Progress
from catdog.settings import Features


def find(names: Sequence[str], progress: Progress) -> list[tuple[str, str]]:
    """List the files to classify; archives are unpacked into the cache, as for training.

    Files are not opened: those that are not photos are found later. Hidden files are left out.

    Args:
        names: Paths of files, folders and archives, zip or tar.
        progress: Receives the progress of unpacking.

    Returns:
        (path, name) of each file: where to read it, and its name in results. The name of a file
        in a folder or archive starts with the given path.

    Raises:
        DataError: a path does not exist, contains no file, or is an archive that
            cannot be read.

    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "a.jpg").touch()
    >>> [(path, name)] = find([str(folder)], Progress())
    >>> path == name == str(folder / "a.jpg")
    True
    """
    found: list[tuple[str, str]] = []
    for name in names:
        files = list(_find(name, progress))
        if not files:
            raise DataError(
                name,
                "there is no photo in it",
                "Name photos, folders or archives of them",
            )
        found += files
    return found


def _find(name: str, progress: Progress) -> Iterator[tuple[str, str]]:
    from catdog import data
    from catdog.data import folders
    from catdog.data.packed import archive
    from catdog.data.packed.members import without_ending

    path = paths.expanded(name)
    if not path.exists():
        raise DataError(name, "there is no such file or folder")
    root = path
    if without_ending(path.name) and path.is_file():
        cache = paths.expanded(Features().dir)
        data.require_writable(cache)
        root = archive.unpack(path, cache, progress)
    if not root.is_dir():
        yield str(path), name
        return
    for whole in folders.walk(root):
        yield whole, os.path.join(name, os.path.relpath(whole, root))
