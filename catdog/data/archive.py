"""Zip archives of photos: unpacked once into the cache, and never outside of their folder.

What was unpacked is compared with the archive each time, and unpacked again where it differs.
Nothing is read of an archive that declares more than a limit or than fits on the disk, and no
entry is read beyond the size that it declares.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Mapping
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath

from rich.filesize import decimal

from catdog.core import links, listing
from catdog.core.files import make_once
from catdog.errors import DataError, listed
from catdog.progress import Progress

UNREADABLE = (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, NotImplementedError,
              RuntimeError, ValueError)  # fmt: skip
"""What ``zipfile`` raises for a damaged or unsupported entry."""

MOST_BYTES = 500 * 10**9
"""Largest size of what is unpacked: ImageNet has 160 GB."""

MOST_TIMES, ALWAYS_BYTES = 100, 10**9
"""Archives that declare more than so many times their own size are refused, since photos hardly
shrink in a zip; up to ``ALWAYS_BYTES`` they are not."""

Entries = Mapping[str, zipfile.ZipInfo]
"""Entries that are files, by the path at which they are unpacked."""


def unpack(archive: Path, cache_dir: Path, progress: Progress) -> Path:
    """Unpack a zip archive, and the ``train.zip`` inside it if there is one, once.

    Kaggle packs its photos as a zip in a zip; of such an archive only ``train.zip`` is unpacked.
    Files that were unpacked earlier are compared with the archive: names and sizes each time, the
    CRC-32 of those whose time of modification or change is another than when last compared. Where
    they differ, the archive is unpacked again, which is said.

    Args:
        archive: The .zip file.
        cache_dir: Folder of the cache. Photos go to ``photos/<key>`` in it; the key is a hash of
            the archive's table of contents (names, sizes, CRCs).
        progress: Receives the progress of unpacking.

    Returns:
        The folder with the photos; the same one for a copy of the archive.

    Raises:
        DataError: the file is not a zip archive, is damaged, is too large or does not fit on the
            disk, an entry would be written outside of the folder, or the folder is a link.
    """
    differing: list[str] = []
    with _open(archive) as outer:
        target = cache_dir / "photos" / _key(outer)
        links.refuse(target.parent)

        def is_whole(folder: Path) -> bool:
            if folder.is_dir():
                differing[:] = listing.differences(folder, _expected(archive, outer, folder))
            return folder.is_dir() and not differing

        def make(folder: Path) -> None:
            if differing:
                progress.note(_again(archive, differing))
            _unpack(archive, outer, folder, progress)

        make_once(target, make, is_whole=is_whole)
    return target


def _again(archive: Path, names: list[str]) -> str:
    files = "1 file" if len(names) == 1 else f"{len(names):,} files"
    what = f"missing, changed or added in the cache ({listed(names)})"
    return f"{files} of {archive.name} {what}: unpacking it again"


def _open(archive: Path, shown: Path | None = None) -> zipfile.ZipFile:
    """Open an archive; errors name ``shown`` where given."""
    try:
        return zipfile.ZipFile(archive)
    except FileNotFoundError:
        raise DataError(archive, "there is no such file", "Check data.path") from None
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(
            shown or archive,
            f"not a readable zip archive ({error})",
            "Download it again, or name a folder",
        ) from None


def _key(archive: zipfile.ZipFile) -> str:
    digest = hashlib.sha256()
    for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
        digest.update(f"{entry.filename}\0{entry.file_size}\0{entry.CRC}\n".encode())
    return digest.hexdigest()[:16]


def _inner(outer: zipfile.ZipFile) -> zipfile.ZipInfo | None:
    found = (e for e in outer.infolist() if PurePosixPath(e.filename).name == "train.zip")
    return next(found, None)


def _expected(path: Path, outer: zipfile.ZipFile, folder: Path) -> listing.Listing:
    """Return what a folder that was unpacked must hold."""
    inner = _inner(outer)
    if inner is None:
        return _contents(_files(path, outer))
    known = listing.noted(folder)  # reading a table of contents out of a packed zip takes seconds
    if known is not None:
        return known
    try:
        with outer.open(inner) as packed, zipfile.ZipFile(packed) as archive:
            return _contents(_files(path, archive))
    except UNREADABLE as error:
        raise _damaged(path, inner, error) from None


def _contents(files: Entries) -> dict[str, listing.Content]:
    return {name: listing.Content(entry.file_size, entry.CRC) for name, entry in files.items()}


def _unpack(path: Path, outer: zipfile.ZipFile, folder: Path, progress: Progress) -> None:
    inner = _inner(outer)
    if inner is None:
        _extract(path, outer, _files(path, outer), folder, progress)
        return
    name = _inside(path, inner)
    _extract(path, outer, {name: inner}, folder, progress)
    packed = folder / name
    with _open(packed, path / packed.name) as archive:
        _extract(path, archive, _files(path, archive), folder, progress)
    packed.unlink()


def _files(path: Path, archive: zipfile.ZipFile) -> Entries:
    """Return the entries that are files; of those with the same name the last, as zip means it."""
    names = [(_inside(path, entry), entry) for entry in archive.infolist()]
    return {n: entry for n, entry in names if not entry.is_dir() and n != listing.NAME}


def _inside(path: Path, entry: zipfile.ZipInfo) -> str:
    """Return where an entry is unpacked, below the folder."""
    # zipfile would drop the dots without a word; an archive with such names cannot be trusted
    name = PureWindowsPath(entry.filename)  # understands both kinds of slashes, and drives
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    parts = [part for part in entry.filename.split("/") if part not in ("", ".")]
    if name.anchor or ".." in name.parts or is_link or not (parts or entry.is_dir()):
        raise DataError(
            path,
            f"entry {entry.filename!r} would land outside its folder; nothing was unpacked",
            "Use an archive from a source you trust",
        )
    return "/".join(parts)


def _extract(
    path: Path, archive: zipfile.ZipFile, files: Entries, target: Path, progress: Progress
) -> None:
    _require_room(path, files, target)
    with progress.track(f"Unpacking {path.name}", len(files)) as advance:
        for name, entry in files.items():
            try:
                _write(archive, entry, target / name)
            except UNREADABLE as error:
                raise _damaged(path, entry, error) from None
            except OSError as error:
                raise DataError(
                    path, f"entry {entry.filename} cannot be unpacked ({error})",
                    "Download it again, or name a roomier features.dir",
                ) from None  # fmt: skip
            advance(1)


def _require_room(path: Path, files: Entries, target: Path) -> None:
    """Compare the sizes that entries declare with the limits and with the space on the disk."""
    needed, own = sum(entry.file_size for entry in files.values()), path.stat().st_size
    declared = f"its {len(files):,} files would take {decimal(needed)}"
    if needed > min(max(ALWAYS_BYTES, MOST_TIMES * own), MOST_BYTES):
        most = f"at most {MOST_TIMES} times as much, and {decimal(MOST_BYTES)}, is unpacked"
        raise DataError(
            path, f"{declared}, and it has {decimal(own)}: {most}",
            "If you trust it, unpack it by hand and name the folder",
        )  # fmt: skip
    free = shutil.disk_usage(target).free
    if needed > free:
        raise DataError(
            path, f"{declared}, but {decimal(free)} are left at {target.parent.parent}",
            "Make room, or name a roomier features.dir",
        )  # fmt: skip


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    new = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    with os.fdopen(new, "wb") as out, archive.open(entry) as packed:
        shutil.copyfileobj(packed, out)  # zipfile reads no more than what is declared
        if out.tell() != entry.file_size:
            raise zipfile.BadZipFile("it is shorter than declared")


def _damaged(path: Path, entry: zipfile.ZipInfo, error: Exception) -> DataError:
    return DataError(path, f"entry {entry.filename} cannot be read ({error})", "Download it again")
