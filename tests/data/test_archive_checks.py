"""What was unpacked is what the archive has, and what an archive declares has limits."""

from __future__ import annotations

import os
import random
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from catdog.data.packed import archive
from catdog.data.packed.archive import unpack
from catdog.errors import DataError
from catdog.progress import Progress

PHOTO = random.Random(0).randbytes(3000)
ENTRIES = {
    f"{label}/{i}.jpg": PHOTO[i:] if label == "cat" else PHOTO[::-1][i:]
    for label in ("cat", "dog")
    for i in range(4)
}


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def zipped(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as made:
        for name, data in entries.items():
            made.writestr(name, data)
    return path


@pytest.fixture(params=["plain", "zip in a zip"])
def source(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    plain = zipped(tmp_path / "in" / "train.zip", ENTRIES)
    if request.param == "plain":
        return plain
    return zipped(tmp_path / "a.zip", {"train.zip": plain.read_bytes()}, zipfile.ZIP_DEFLATED)


def photos(folder: Path) -> dict[str, bytes]:
    found = [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")]
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


def flip(file: Path) -> None:
    held, times = bytearray(file.read_bytes()), file.stat()
    held[100] ^= 1
    file.write_bytes(held)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # as if nothing had happened


def exchange(folder: Path) -> None:
    one, other = folder / "cat/0.jpg", folder / "dog/0.jpg"
    one.rename(folder / "x")
    other.rename(one)
    (folder / "x").rename(other)


def link(folder: Path) -> None:
    copy = shutil.copy(folder / "cat/0.jpg", folder.parent / "copy.jpg")
    (folder / "cat/0.jpg").unlink()
    (folder / "cat/0.jpg").symlink_to(copy)


DAMAGES: dict[str, tuple[int, Callable[[Path], object]]] = {
    "deleted": (1, lambda folder: (folder / "cat/0.jpg").unlink()),
    "a class deleted": (4, lambda folder: shutil.rmtree(folder / "cat")),
    "flipped": (1, lambda folder: flip(folder / "dog/3.jpg")),
    "cut": (1, lambda folder: os.truncate(folder / "cat/1.jpg", 10)),
    "emptied": (1, lambda folder: os.truncate(folder / "cat/1.jpg", 0)),
    "exchanged": (2, exchange),
    "added": (1, lambda folder: (folder / "cat/9.jpg").write_bytes(PHOTO)),
    "renamed": (2, lambda folder: (folder / "cat/0.jpg").rename(folder / "cat/9.jpg")),
    "a link": (1, link),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("noted", [True, False], ids=["noted", "unpacked by an earlier version"])
def test_what_differs_is_unpacked_again_and_said(
    source: Path, tmp_path: Path, damage: str, noted: bool
) -> None:
    folder = unpack(source, tmp_path / "cache", Progress())
    if not noted:
        (folder / ".catdog-contents").unlink(missing_ok=True)
    count, harm = DAMAGES[damage]
    harm(folder)
    progress = Notes()
    assert unpack(source, tmp_path / "cache", progress) == folder
    assert photos(folder) == ENTRIES
    (said,) = progress.notes
    assert said.startswith(f"{count} file{'s' if count > 1 else ''} of {source.name} missing, ")
    again = Notes()
    unpack(source, tmp_path / "cache", again)
    assert not again.notes


@pytest.mark.parametrize("harm", ["gone", "empty", "half", "another's", "flipped"])
def test_a_damaged_note_costs_a_comparison_only(source: Path, tmp_path: Path, harm: str) -> None:
    folder = unpack(source, tmp_path / "cache", Progress())
    note = folder / ".catdog-contents"
    held = note.read_bytes()
    changed = {
        "gone": None, "empty": b"", "half": held[: len(held) // 2],
        "another's": held.replace(b"3000", b"3001"), "flipped": held[:-9] + b"\xff" + held[-8:],
    }[harm]  # fmt: skip
    note.unlink() if changed is None else note.write_bytes(changed)
    progress, times = Notes(), [p.stat().st_mtime_ns for p in sorted(folder.rglob("*.jpg"))]
    unpack(source, tmp_path / "cache", progress)
    assert not progress.notes
    assert times == [p.stat().st_mtime_ns for p in sorted(folder.rglob("*.jpg"))]
    assert note.read_bytes() == held


def test_a_file_that_was_only_touched_stays(source: Path, tmp_path: Path) -> None:
    folder = unpack(source, tmp_path / "cache", Progress())
    (folder / "cat/0.jpg").touch()
    (folder / "cat/.DS_Store").touch()
    progress = Notes()
    unpack(source, tmp_path / "cache", progress)
    assert not progress.notes and (folder / "cat/.DS_Store").exists()


def test_an_archive_that_grows_too_much_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for i in range(3):
            with made.open(f"cat/{i}.bmp", "w") as entry:
                for _ in range(40):
                    entry.write(bytes(10_000_000))
    with pytest.raises(DataError) as caught:
        unpack(path, tmp_path / "cache", Progress())
    assert str(caught.value).startswith(
        f"{path}: its 3 files would take 1.2 GB, and it has 1.2 MB"
    )
    assert "unpack it by hand" in str(caught.value)
    assert sum(p.stat().st_size for p in (tmp_path / "cache").rglob("*")) < 10**5


def declared(path: Path, size: int) -> Path:
    """Write an archive whose first entry declares another size than it has."""
    zipped(path, {"cat/0.jpg": bytes(50_000_000), "dog/0.jpg": PHOTO}, zipfile.ZIP_DEFLATED)
    held = bytearray(path.read_bytes())
    at = held.index(b"PK\x01\x02") + 24
    held[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(held)
    return path


@pytest.mark.parametrize("size", [1000, 50_000_001], ids=["too small", "too large"])
def test_an_entry_that_lies_about_its_size_is_refused(tmp_path: Path, size: int) -> None:
    before = archive.shutil.copyfileobj
    written = []

    def counting(packed: object, out: object) -> None:
        before(packed, out)  # type: ignore[arg-type]
        written.append(out.tell())  # type: ignore[attr-defined]

    with pytest.MonkeyPatch.context() as patched, pytest.raises(DataError, match="cat/0.jpg"):
        patched.setattr(archive.shutil, "copyfileobj", counting)
        unpack(declared(tmp_path / "a.zip", size), tmp_path / "cache", Progress())
    assert max(written, default=0) <= min(size, 50_000_000)


def test_what_does_not_fit_on_the_disk_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a small disk cannot be had in a test without mounting one: its answer is replaced
    small = shutil.disk_usage(tmp_path)._replace(free=20_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: small)
    path = zipped(tmp_path / "a.zip", ENTRIES)
    with pytest.raises(DataError) as caught:
        unpack(path, tmp_path / "cache", Progress())
    assert str(caught.value).startswith(
        f"{path}: its 8 files would take 24.0 kB, but 20.0 kB are left"
    )
    assert "features.dir" in str(caught.value)
    assert not [p for p in (tmp_path / "cache/photos").iterdir() if p.suffix != ".lock"]
