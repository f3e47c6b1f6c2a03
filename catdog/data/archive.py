"""Zip archives of photos: unpacked once into the cache, and never outside of their folder."""

from __future__ import annotations

import hashlib
import stat
import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath

from catdog.core.files import make_once
from catdog.errors import DataError
from catdog.progress import Progress

UNREADABLE = (
    zipfile.BadZipFile, zlib.error, LZMAError, EOFError, NotImplementedError, RuntimeError,
    ValueError,  # an entry called "." on Python 3.13
)  # fmt: skip
"""What ``zipfile`` raises for a damaged or unsupported entry."""


def unpack(archive: Path, cache_dir: Path, progress: Progress) -> Path:
    """Unpack a zip archive, and the ``train.zip`` inside it if there is one, once.

    Kaggle packs its photos as a zip in a zip; of such an archive only ``train.zip`` is unpacked.

    Args:
        archive: The .zip file.
        cache_dir: Folder of the cache. Photos go to ``photos/<key>`` in it; the key is a hash of
            the archive's table of contents (names, sizes, CRCs).
        progress: Receives the progress of unpacking.

    Returns:
        The folder with the photos; the same one for a copy of the archive.

    Raises:
        DataError: the file is not a zip archive, is damaged, or an entry would be written outside
            of the folder.
    """
    with _open(archive) as outer:
        target = cache_dir / "photos" / _key(outer)
        make_once(target, lambda folder: _unpack(archive, outer, folder, progress))
    return target


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


def _unpack(path: Path, outer: zipfile.ZipFile, folder: Path, progress: Progress) -> None:
    inner = [e for e in outer.infolist() if PurePosixPath(e.filename).name == "train.zip"]
    if not inner:
        _extract(path, outer, outer.infolist(), folder, progress)
        return
    _extract(path, outer, inner[:1], folder, progress)
    packed = folder / inner[0].filename
    with _open(packed, path / packed.name) as archive:
        _extract(path, archive, archive.infolist(), folder, progress)
    packed.unlink()


def _extract(
    path: Path,
    archive: zipfile.ZipFile,
    entries: list[zipfile.ZipInfo],
    target: Path,
    progress: Progress,
) -> None:
    for entry in entries:
        _refuse_escape(path, entry, target)
    with progress.track(f"Unpacking {path.name}", len(entries)) as advance:
        for entry in entries:
            try:
                archive.extract(entry, target)
            except UNREADABLE as error:
                raise DataError(
                    path, f"entry {entry.filename} cannot be read ({error})", "Download it again"
                ) from None
            except OSError as error:
                raise DataError(
                    path, f"entry {entry.filename} cannot be unpacked ({error})",
                    "Download it again, or name a roomier features.dir",
                ) from None  # fmt: skip
            advance(1)


def _refuse_escape(path: Path, entry: zipfile.ZipInfo, target: Path) -> None:
    # zipfile would drop the dots without a word; an archive with such names cannot be trusted
    name = PureWindowsPath(entry.filename)  # understands both kinds of slashes, and drives
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    if name.anchor or ".." in name.parts or is_link:
        raise DataError(
            path,
            f"entry {entry.filename!r} would land outside its folder; nothing was unpacked",
            "Use an archive from a source you trust",
        )
