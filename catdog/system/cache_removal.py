"""Removes entries of the cache, at once for other processes and only while none uses them."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from filelock import Timeout

from catdog.core import links, use_locks
from catdog.core.use_locks import InUse
from catdog.system.cache_contents import REMOVED, Item, entries, size_of


def remove(root: Path, item: Item) -> None:
    """Remove an entry: rename it, so that others find none and make it again, then delete it.

    Args:
        root: The cache folder.
        item: The entry.

    Raises:
        InUse: a process uses or writes it.
        DataError: a lock's file is a link.
        OSError: it cannot be removed.
    """
    with ExitStack() as held:
        held.enter_context(use_locks.claimed(item.path))
        for lock in filter(Path.exists, item.locks):
            writer = links.lock(lock)
            try:
                writer.acquire(timeout=0)
            except Timeout:
                raise InUse("being written") from None
            held.callback(writer.release)
        place = Path(tempfile.mkdtemp(prefix=REMOVED, dir=root))
        try:
            for part in item.parts:
                with suppress(FileNotFoundError):
                    os.rename(part, place / part.name)
        finally:
            shutil.rmtree(place)


def remove_leftovers(root: Path) -> int:
    """Delete what a removal that was killed has left.

    Args:
        root: The cache folder.

    Returns:
        The bytes that were deleted.

    Raises:
        OSError: it cannot be deleted.
    """
    left = [
        path for path in entries(root) if path.name.startswith(REMOVED) and not path.is_symlink()
    ]
    total = sum(map(size_of, left))
    for path in left:
        with suppress(FileNotFoundError):  # another process deletes it too
            shutil.rmtree(path)
    return total
