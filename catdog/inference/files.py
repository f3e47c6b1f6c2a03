"""What to classify: photos, folders and zips, in any mix."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from catdog.errors import DataError
from catdog.progress import Progress
from catdog.settings import Features


def find(names: Sequence[str], progress: Progress) -> list[tuple[str, str]]:
    """List files, and what to call them; a zip is unpacked into the cache, as for training.

    Raises:
        DataError: one is not there, empty, or an unreadable zip.
    """
    found: list[tuple[str, str]] = []
    for name in names:
        some = list(_find(name, progress))
        if not some:
            raise DataError(
                name, "there is no photo in it", "Name photos, folders or zips of them"
            )
        found += some
    return found


def _find(name: str, progress: Progress) -> Iterator[tuple[str, str]]:
    from catdog import data
    from catdog.data import archive

    path = Path(name).expanduser()
    if not path.exists():
        raise DataError(name, "there is no such file or folder")
    root = path
    if path.suffix.lower() == ".zip" and path.is_file():
        cache = Path(Features().dir).expanduser()
        data.require_writable(cache)
        root = archive.unpack(path, cache, progress)
    if not root.is_dir():
        yield str(path), name
        return
    for folder, subfolders, files in os.walk(root, followlinks=True):
        subfolders[:] = sorted(n for n in subfolders if not n.startswith((".", "__MACOSX")))
        for file in sorted(n for n in files if not n.startswith(".")):
            whole = os.path.join(folder, file)
            yield whole, os.path.join(name, os.path.relpath(whole, root))
