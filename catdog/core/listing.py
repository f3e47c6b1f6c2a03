"""Notes what a folder holds, so that it can be told later whether it still does.

The note lies in the folder itself: name, size and CRC-32 of each file, and its times when that was
last verified. A file whose size and times are as noted is not read again, so that verifying 20,000
files takes a fraction of a second.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from catdog.core import links
from catdog.core.files import write_atomically
from catdog.errors import DataError

NAME = ".catdog-contents"
"""The note's name in the folder."""

BLOCK = 2**20
"""Bytes that are read at a time."""


class Content(NamedTuple):
    """What a file must hold: its bytes and their CRC-32."""

    size: int
    crc: int


Listing = Mapping[str, Content]
"""Content of each file, by its path below the folder, with slashes."""

Noted = dict[str, tuple[Content, list[int]]]
"""Content of each file, and its times of modification and change when it was last verified."""


def noted(folder: Path) -> Listing | None:
    """Return what is noted in a folder; None if the note is lost or damaged.

    Raises:
        DataError: the note is a link.
    """
    known = _read(folder)
    return {name: content for name, (content, _) in known.items()} if known else None


def differences(folder: Path, expected: Listing) -> list[str]:
    """Compare a folder with what it should hold, and note what was verified.

    Args:
        folder: The folder.
        expected: Its files.

    Returns:
        Names of files that are missing, added (unless hidden), damaged or links, sorted.

    Raises:
        DataError: the note is a link.
        OSError: the folder or a file cannot be read.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> file = folder / "a.jpg"
        >>> file.write_bytes(b"photo")
        5
        >>> listing = {"a.jpg": Content(5, zlib.crc32(b"photo"))}
        >>> differences(folder, listing)
        []
        >>> file.write_bytes(b"phot0")
        5
        >>> differences(folder, listing)
        ['a.jpg']
    """
    known, there = _read(folder), dict(_walk(folder, ""))
    unexpected = expected.keys() - there.keys() | _added(expected, there)
    new = [
        name for name in expected.keys() & there.keys()
        if known.get(name) != (expected[name], _times(there[name]))
    ]  # fmt: skip
    damaged = {name for name in new if there[name].st_size != expected[name].size}
    read = [name for name in new if name not in damaged]
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda name: _crc(folder / name), read)
        damaged |= {n for n, crc in zip(read, found, strict=True) if crc != expected[n].crc}
    if not unexpected and not damaged and (new or known.keys() != expected.keys()):
        _write(folder, {name: (expected[name], _times(there[name])) for name in expected})
    return sorted(unexpected | damaged)


def _added(expected: Listing, there: Iterable[str]) -> set[str]:
    """Return the files that are not expected, but for hidden ones: no photo is read from those."""
    return {name for name in there if name not in expected and "/." not in f"/{name}"}


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield name and status of all files below a folder, of links too, but not of the note."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(folder / entry.name, f"{name}/")
            elif name != NAME:
                yield name, entry.stat(follow_symlinks=False)


def _times(status: os.stat_result) -> list[int]:
    return [status.st_mtime_ns, status.st_ctime_ns]


def _crc(path: Path) -> int:
    """Return a file's CRC-32; -1 for a link, a pipe and a file that cannot be read."""
    crc = 0
    try:
        with os.fdopen(links.open_plain(path), "rb") as file:
            while block := file.read(BLOCK):
                crc = zlib.crc32(block, crc)
    except (OSError, DataError):
        return -1
    return crc


def _read(folder: Path) -> Noted:
    try:
        checksum, _, text = links.read_plain(folder / NAME).partition(b"\n")
    except FileNotFoundError:
        return {}
    if checksum != _checksum(folder, text):
        return {}
    return {name: (Content(size, crc), times) for name, (size, crc, *times) in
            json.loads(text).items()}  # fmt: skip


def _write(folder: Path, known: Noted) -> None:
    text = json.dumps({n: [*content, *times] for n, (content, times) in known.items()}).encode()
    with suppress(OSError):  # another user's folder: it is read each time
        write_atomically(folder / NAME, _checksum(folder, text) + b"\n" + text)


def _checksum(folder: Path, text: bytes) -> bytes:
    return hashlib.sha256(folder.name.encode() + text).hexdigest().encode()
