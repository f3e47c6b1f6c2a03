"""Zip and tar archives, read in one way: their members one by one, and what these hold.

``tarfile`` takes a damaged header for the end of the archive, reads a header of any length into
memory, and leaves a compressed stream's checksum unread; here all three are errors.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError,
              NotImplementedError, RuntimeError, ValueError, OverflowError)  # fmt: skip
"""What reading a damaged or unsupported archive raises."""

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""How names of archives end, in small letters."""

LONGEST_READ = 2**20
"""Bytes that a header of a tar archive may have."""

MOST_BEHIND = 64
"""Blocks of ``LONGEST_READ`` that may follow the end of a tar archive, which programs fill up."""

BLOCK = tarfile.BLOCKSIZE
DECOMPRESS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
"""How to read a compressed stream, by its first bytes."""

Source = Path | IO[bytes]
"""An archive's file, or an open one that can be searched."""


class NoArchive(Exception):
    """A file is no archive; the message says what it is not."""


class Member(NamedTuple):
    """A file or folder in an archive.

    Attributes:
        name: Its path, as the archive has it.
        size: Bytes, as declared.
        crc: CRC-32 of its content; None where the archive has none, as in a tar.
        is_folder: Whether it is a folder.
        is_plain: Whether it is a folder or a regular file; not so links and devices.
        open: Opens its content; of a tar only until the next member is asked for.
    """

    name: str
    size: int
    crc: int | None
    is_folder: bool
    is_plain: bool
    open: Callable[[], IO[bytes]]


def without_ending(name: str) -> str | None:
    """Return an archive's name without its ending; None for other files.

    Example:
        >>> without_ending("in/train.tar.gz"), without_ending("cat.jpg"), without_ending(".zip")
        ('in/train', None, None)
    """
    small = name.lower()
    if not small.endswith(ENDINGS):
        return None
    found = name[: -max(len(end) for end in ENDINGS if small.endswith(end))]
    return found if found and not found.endswith("/") else None


def opened(source: Source, name: str) -> Zip | Tar:
    """Open an archive, zip or tar, whatever its name ends with.

    Args:
        source: The file.
        name: Its name, which decides where the content does not.

    Raises:
        NoArchive: it is none.
        FileNotFoundError: it is missing.
    """
    kind = "tar" if name.lower().endswith(ENDINGS[1:]) else "zip"
    try:
        kind = "tar" if _looks_like_tar(source) else kind
        return Tar(source) if kind == "tar" else Zip(source)
    except FileNotFoundError:
        raise
    except (*UNREADABLE, OSError) as error:
        raise NoArchive(f"not a readable {kind} archive ({error})") from None


def _looks_like_tar(source: Source) -> bool:
    with _stream(source) as file:
        start = file.read(BLOCK)
    return start.startswith(tuple(DECOMPRESS)) or start[257:262] == b"ustar"


@contextmanager
def _stream(source: Source) -> Iterator[IO[bytes]]:
    """Open a file at its start; one that is open already stays open."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file
    else:
        source.seek(0)
        yield source


class Zip(zipfile.ZipFile):
    """A zip archive."""

    has_table = True
    """Whether all members are known without reading the archive, with their CRCs."""

    def members(self) -> Iterator[Member]:
        """Yield the members in order."""
        for one in self.infolist():
            is_link = stat.S_ISLNK(one.external_attr >> 16)
            opens = partial(self.open, one)
            yield Member(one.filename, one.file_size, one.CRC, one.is_dir(), not is_link, opens)


class Tar(nullcontext[None]):
    """A tar archive, whose file is opened anew for each round through the members."""

    has_table = False

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        with closing(self.members()) as found:  # a first header that is none is told at once
            next(found, None)

    def members(self) -> Generator[Member, None, None]:
        """Yield the members in order; raises one of ``UNREADABLE`` where it is damaged."""
        with _stream(self._source) as file, _decompressed(file) as content:
            blocks = _Blocks(content)
            archive = tarfile.TarFile(fileobj=blocks, encoding="utf-8")  # type: ignore[arg-type]
            while (one := archive.next()) is not None:
                if one.size < 0:
                    raise tarfile.ReadError("a size below zero")
                opens = cast("Callable[[], IO[bytes]]", partial(archive.extractfile, one))
                is_plain = one.isreg() or one.isdir()
                yield Member(one.name, one.size, None, one.isdir(), is_plain, opens)
            blocks.require_end()


@contextmanager
def _decompressed(file: IO[bytes]) -> Iterator[IO[bytes]]:
    start = file.read(BLOCK)
    file.seek(0)
    for magic, opens in DECOMPRESS.items():
        if start.startswith(magic):
            with opens(file) as content:
                yield content
            return
    yield file


Archive = Zip | Tar
"""An open archive; a context manager that closes it."""


class _Blocks:
    """What ``tarfile`` reads from; knows the last header, and reads no more than one at once."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content, self._last = content, b""

    def read(self, size: int) -> bytes:
        if not 0 <= size <= LONGEST_READ:
            raise tarfile.ReadError(f"a header of {size} bytes")
        data = self._content_read(size)
        self._last = data if size == BLOCK else self._last
        return data

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        with _told():
            return self._content.seek(place, whence)

    def tell(self) -> int:
        return self._content.tell()

    def require_end(self) -> None:
        """Require that the archive has ended as archives do; read the rest, for its checksum."""
        if self._last != bytes(BLOCK):
            raise tarfile.ReadError("what follows is cut off or damaged")
        for _ in range(MOST_BEHIND):
            if not self._content_read(LONGEST_READ):
                return
        raise tarfile.ReadError("there is more behind its end")

    def _content_read(self, size: int) -> bytes:
        with _told():
            return self._content.read(size)


@contextmanager
def _told() -> Iterator[None]:
    """Turn what decompressors raise into an error that ``tarfile`` does not take for the end."""
    try:
        yield
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise tarfile.ReadError(str(error)) from None
