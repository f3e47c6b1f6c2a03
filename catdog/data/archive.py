"""Zip archives of photos: unpacked once into the cache, nothing ever outside its folder."""

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


def unpack(archive: Path, cache_dir: Path, progress: Progress) -> Path:
    """Unpack a zip, and a train.zip inside it, once.

    Kaggle packs its photos as a zip in a zip; only the inner train.zip is then unpacked.

    Args:
        archive: The .zip file.
        cache_dir: Folder of the cache; photos go to ``photos/<key>`` below it, where the key is a
            hash of the archive's own table of contents (names, sizes, CRCs).
        progress: Hears of the unpacking.

    Returns:
        The folder with the photos; a moved or copied archive finds the same one again.

    Raises:
        DataError: not a zip, a damaged one, or an entry that would land outside the folder.
    """
    with _open(archive) as outer:
        target = cache_dir / "photos" / _key(outer)
        make_once(target, lambda folder: _unpack(archive, outer, folder, progress))
    return target


def _open(archive: Path, named: Path | None = None) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except FileNotFoundError:
        raise DataError(archive, "there is no such file", "Check data.path") from None
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(
            named or archive,
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
    # zipfile would quietly drop the dots; an archive that tries is not to be trusted at all.
    name = PureWindowsPath(entry.filename)  # reads both kinds of slashes, and drives
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    if name.anchor or ".." in name.parts or is_link:
        raise DataError(
            path,
            f"entry {entry.filename!r} would land outside its folder; nothing was unpacked",
            "Use an archive from a source you trust",
        )
