"""Tells archives apart by what they hold, so that a copy of one finds its unpacked photos."""

from __future__ import annotations

import hashlib
import json
import math
import os
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from catdog.core import links
from catdog.core.files import write_atomically
from catdog.data.packed.members import Member
from catdog.progress import Progress

BLOCK = 2**24
"""Bytes that are read at a time."""


def of_table(members: Iterable[Member], layout: Iterable[str]) -> str:
    """Return the identity of an archive whose table of contents has checksums.

    Args:
        members: What the archive holds.
        layout: What else decides where it is unpacked.

    Returns:
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for one in sorted(members, key=lambda one: one.name):
        digest.update(f"{one.name}\0{one.size}\0{one.crc}\n".encode())
    for line in layout:
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()[:16]


def of_content(path: Path, cache_dir: Path, progress: Progress, layout: Iterable[str]) -> str:
    """Return the identity of an archive without checksums: a hash of the whole file.

    It is remembered in the cache for as long as the file's size and times stay the same.

    Args:
        path: The archive.
        cache_dir: Folder of the cache.
        progress: Receives the progress of reading.
        layout: What else decides where it is unpacked.

    Returns:
        16 hexadecimal digits.

    Raises:
        DataError: a place in the cache is a link.
        OSError: the archive cannot be read.
    """
    status = path.stat()
    stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    memo = cache_dir / "index" / f"{name}-tar.json"
    links.refuse(memo.parent)
    with suppress(OSError, ValueError, TypeError):
        known, sha256, checksum = json.loads(links.read_plain(memo))
        if known == stamp and checksum == _checksum(path, stamp, sha256):
            return _joined(sha256, layout)
    sha256 = _hash(path, progress)
    held = [stamp, sha256, _checksum(path, stamp, sha256)]
    with suppress(OSError):  # another user's cache: it is hashed each time
        write_atomically(memo, json.dumps(held).encode())
    return _joined(sha256, layout)


def _checksum(path: Path, stamp: list[int], sha256: str) -> int:
    return zlib.crc32(os.fsencode(path) + f"\0{stamp}\0{sha256}".encode())


def _hash(path: Path, progress: Progress) -> str:
    digest, blocks = hashlib.sha256(), math.ceil(path.stat().st_size / BLOCK)
    with path.open("rb") as file, progress.track(f"Reading {path.name}", blocks) as advance:
        while block := file.read(BLOCK):
            digest.update(block)
            advance(1)
    return digest.hexdigest()


def _joined(sha256: str, layout: Iterable[str]) -> str:
    return hashlib.sha256("\n".join([sha256, *layout]).encode()).hexdigest()[:16]
