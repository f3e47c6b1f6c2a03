"""Archives of photos: unpacked once into the cache, and never outside of their folder.

What was unpacked is compared with the archive each time, and unpacked again where it differs.
Nothing is read of an archive that declares more than a limit or than fits on the disk, and no
entry is read beyond the size that it declares.
"""

from __future__ import annotations

import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO

from rich.filesize import decimal

from catdog.core import links, listing
from catdog.core.files import make_once
from catdog.data.packed import identity, members
from catdog.data.packed.layout import Budget, Level, counted, damaged
from catdog.data.packed.members import Archive, Member, Source
from catdog.errors import DataError, listed
from catdog.progress import Progress


def unpack(
    archive: Path, cache_dir: Path, progress: Progress, *, only_train: bool = False
) -> Path:
    """Unpack an archive, and the archives inside it, once.

    An archive inside becomes a folder of its name, ``train.zip`` becomes ``train``; one that is
    alone in its archive stands for it. Files that were unpacked earlier are compared with the
    archive: names and sizes each time, the CRC-32 of those whose time of modification or change is
    another than when last compared. Where they differ, the archive is unpacked again, which is
    said. A tar archive has no CRC-32 of its files: they are noted when it is unpacked.

    Args:
        archive: A zip or tar file; a tar may be compressed by gzip, bzip2 or xz.
        cache_dir: Folder of the cache. Photos go to ``photos/<key>`` in it; the key is a hash of
            a zip's table of contents (names, sizes, CRCs), or of a whole tar.
        progress: Receives the progress of unpacking.
        only_train: If there is a ``train.zip`` (or tar) inside, unpack only that one: Kaggle's
            other archives have no labels.

    Returns:
        The folder with the photos; the same one for a copy of the archive.

    Raises:
        DataError: the file is not an archive, is damaged, is too large or does not fit on the
            disk, an entry would be written outside of the folder, or the folder is a link.
    """
    differing: list[str] = []
    with _opened(archive, archive) as packed:
        work = _Unpacking(archive, packed, only_train, progress)
        target = cache_dir / "photos" / work.key(cache_dir)
        links.refuse(target.parent)

        def is_whole(folder: Path) -> bool:
            if folder.is_dir():
                differing[:] = listing.differences(folder, work.expected(folder))
            return folder.is_dir() and not differing

        def make(folder: Path) -> None:
            if differing:
                progress.note(_again(archive, differing))
            work.fill(folder)

        make_once(target, make, is_whole=is_whole)
    return target


def _again(archive: Path, names: list[str]) -> str:
    files = "1 file" if len(names) == 1 else f"{len(names):,} files"
    what = f"missing, changed or added in the cache ({listed(names)})"
    return f"{files} of {archive.name} {what}: unpacking it again"


@contextmanager
def _opened(source: Source, shown: Path) -> Iterator[Archive]:
    """Open an archive; errors name ``shown``."""
    try:
        archive = members.opened(source, shown.name)
    except FileNotFoundError:
        raise DataError(shown, "there is no such file", "Check data.path") from None
    except members.NoArchive as error:
        raise DataError(shown, str(error), "Download it again, or name a folder") from None
    with archive:
        yield archive


class _Unpacking:
    """Unpacks one archive, with those inside it, and knows what its folder holds then."""

    def __init__(self, path: Path, packed: Archive, only_train: bool, progress: Progress) -> None:
        self._path, self._packed, self._progress = path, packed, progress
        self._only_train, self._own = only_train, path.stat().st_size
        self._made: dict[str, listing.Content] = {}

    @cached_property
    def _outermost(self) -> Level:
        budget = Budget(self._own)
        return Level(self._packed, self._path, budget, only_train=self._only_train)

    def _budget_of_inner(self) -> Budget:
        return Budget(self._own, self._outermost.needed)

    def key(self, cache_dir: Path) -> str:
        """Return the name of the folder; it tells from archives that are unpacked otherwise."""
        if not self._packed.has_table:
            how = ["only train"] * self._only_train
            return identity.of_content(self._path, cache_dir, self._progress, how)
        inner = [p for p in self._outermost.places.values() if p.inner is not None]
        if [p.inner for p in inner] == [""] and Path(inner[0].name).name == "train.zip":
            inner = []  # earlier versions unpacked only this
        return identity.of_table(self._packed.members(), [f"{p.name}>{p.inner}" for p in inner])

    def expected(self, folder: Path) -> listing.Listing:
        """Return what a folder that was unpacked must hold."""
        if self._made:
            return self._made
        if not self._is_told_by_table():  # reading it out of the middle takes seconds
            known = listing.noted(folder)
            if known is not None:
                return known
        return dict(self._contents(self._outermost, self._budget_of_inner()))

    def _is_told_by_table(self) -> bool:
        has_table = self._packed.has_table
        return has_table and all(p.inner is None for p in self._outermost.places.values())

    def _contents(
        self, level: Level, budget: Budget, prefix: str = ""
    ) -> Iterator[tuple[str, listing.Content]]:
        """Read what an archive holds, without writing any of it."""
        for place, member in level.wanted():
            if place.inner is None:
                crc = _sum(level, member) if member.crc is None else member.crc
                yield prefix + place.name, listing.Content(member.size, crc)
                continue
            with member.open() as source, _opened(source, level.shown / place.name) as archive:
                inner = Level(archive, level.shown / place.name, budget, depth=level.depth + 1)
                yield from self._contents(inner, budget, _below(prefix, place.inner))

    def fill(self, folder: Path) -> None:
        """Unpack everything into an empty folder."""
        self._made = {}
        self._fill(self._outermost, self._budget_of_inner(), folder, "")

    def _fill(self, level: Level, budget: Budget, root: Path, prefix: str) -> None:
        _require_room(level, root)
        packed: list[tuple[str, str, Path]] = []
        name = f"Unpacking {level.shown.name}"
        with self._progress.track(name, len(level.places)) as advance:
            for place, member in level.wanted():
                file = root / prefix / place.name
                if place.inner is not None:  # beside the folder, where no photo has its name
                    file = root.parent / f"archive-{level.depth}-{len(packed)}"
                    packed.append((place.name, place.inner, file))
                crc = _write(level, member, file)
                if place.inner is None:
                    self._made[prefix + place.name] = listing.Content(member.size, crc)
                advance(1)
        for name, below, file in packed:
            with _opened(file, level.shown / name) as archive:
                inner = Level(archive, level.shown / name, budget, depth=level.depth + 1)
                self._fill(inner, budget, root, _below(prefix, below))
            file.unlink()


def _below(prefix: str, folder: str) -> str:
    return f"{prefix}{folder}/" if folder else prefix


def _require_room(level: Level, target: Path) -> None:
    """Compare the sizes that entries declare with the space on the disk."""
    free = shutil.disk_usage(target).free
    if level.needed > free:
        raise DataError(
            level.shown,
            f"{counted(len(level.places))} would take {decimal(level.needed)}, but "
            f"{decimal(free)} are left at {target.parent.parent}",
            "Make room, or name a roomier features.dir",
        )


class _Summing:
    """Reads a file and sums up the CRC-32 of what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.crc, self.size = file, 0, 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.crc, self.size = zlib.crc32(data, self.crc), self.size + len(data)
        return data


def _write(level: Level, entry: Member, file: Path) -> int:
    """Write an entry to a file, and return its CRC-32."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        with os.fdopen(new, "wb") as out:
            return _copy(level, entry, out)
    except OSError as error:
        raise DataError(
            level.shown, f"entry {entry.name} cannot be unpacked ({error})",
            "Download it again, or name a roomier features.dir",
        ) from None  # fmt: skip


def _sum(level: Level, entry: Member) -> int:
    with open(os.devnull, "wb") as nowhere:
        return _copy(level, entry, nowhere)


def _copy(level: Level, entry: Member, out: IO[bytes]) -> int:
    try:
        with entry.open() as packed:
            reading = _Summing(packed)
            shutil.copyfileobj(reading, out)  # reads no more than what is declared
            if reading.size != entry.size:
                raise zipfile.BadZipFile("it is shorter than declared")
            return reading.crc
    except members.UNREADABLE as error:
        raise damaged(level.shown, entry.name, error) from None
