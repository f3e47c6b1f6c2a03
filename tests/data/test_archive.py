"""Archives are unpacked once and whole, and nothing of them ever lands outside their folder."""

from __future__ import annotations

import io
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from catdog.core import listing
from catdog.data.packed.archive import unpack
from catdog.errors import DataError
from catdog.progress import Progress

PHOTO = random.Random(0).randbytes(3000)
ENTRIES = {"cat/a.jpg": PHOTO, "dog/b.jpg": PHOTO[::-1]}


def zipped(
    path: Path, entries: dict[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED
) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data, method)
    return path


def packed(entries: dict[str, bytes]) -> bytes:
    with io.BytesIO() as held:
        with zipfile.ZipFile(held, "w") as archive:
            for name, data in entries.items():
                archive.writestr(name, data)
        return held.getvalue()


def tree(root: Path) -> dict[str, bytes]:
    """Everything below a folder, but for lock files."""
    return {
        str(p.relative_to(root)): p.read_bytes() if p.is_file() else b"folder"
        for p in root.rglob("*")
        if p.suffix != ".lock"
    }


def files(root: Path) -> dict[str, bytes]:
    """All files below a folder, but for the note of what it holds."""
    return {
        name: data for name, data in tree(root).items()
        if data != b"folder" and not name.endswith(listing.NAME)
    }  # fmt: skip


def refused(path: Path, cache: Path) -> str:
    with pytest.raises(DataError) as caught:
        unpack(path, cache, Progress())
    assert str(caught.value).startswith(str(path))
    left = cache / "photos"
    assert [p.name for p in left.glob("*") if p.suffix != ".lock"] == []
    return str(caught.value)


@pytest.mark.parametrize(
    "entries",
    [
        ENTRIES,
        {"train.zip": packed(ENTRIES)},
        {"train.zip": packed(ENTRIES), "test1.zip": b"not even a zip", "sample.csv": b"id"},
        {"dogs-vs-cats/train.zip": packed(ENTRIES)},
    ],
    ids=["plain", "zip in a zip", "Kaggle's outer zip", "wrapped in a folder"],
)
def test_the_photos_come_out(tmp_path: Path, entries: dict[str, bytes]) -> None:
    path = zipped(tmp_path / "a.zip", entries)
    assert files(unpack(path, tmp_path / "cache", Progress(), only_train=True)) == ENTRIES


@pytest.mark.parametrize(
    "name",
    [
        "../evil.jpg",
        "cat/../../evil.jpg",
        "/evil.jpg",
        "/tmp/evil.jpg",
        "..\\evil.jpg",
        "cat\\..\\..\\evil.jpg",
        "\\evil.jpg",
        "\\\\server\\share\\evil.jpg",
        "C:\\evil.jpg",
        "C:/evil.jpg",
        "C:evil.jpg",
    ],
)
@pytest.mark.parametrize("nested", [False, True], ids=["outer", "inner"])
def test_an_entry_outside_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, nested: bool
) -> None:
    (tmp_path / "evil.jpg").write_bytes(b"mine")
    entries = {**ENTRIES, name: b"evil"}
    archive = zipped(tmp_path / "a.zip", {"train.zip": packed(entries)} if nested else entries)
    before = tree(tmp_path)
    said = refused(archive, tmp_path / "cache")
    assert repr(name) in said
    assert "outside" in said
    assert {k: v for k, v in tree(tmp_path).items() if not k.startswith("cache")} == before
    assert not Path("/evil.jpg").exists()
    assert not Path("/tmp/evil.jpg").exists()


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("cat/link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    archive = zipped(tmp_path / "a.zip", {**ENTRIES, link: str(tmp_path).encode()})
    assert "cat/link" in refused(archive, tmp_path / "cache")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(["."], "/")  # which Python 3.13 refuses with a ValueError
@given(
    st.lists(st.sampled_from(["..", ".", "", "C:", "a", "b.jpg"]), min_size=1, max_size=5),
    st.sampled_from("/\\"),
)
def test_whatever_the_name_everything_stays_inside(
    tmp_path: Path, parts: list[str], slash: str
) -> None:
    shutil.rmtree(tmp_path / "work", ignore_errors=True)
    (tmp_path / "work" / "deep" / "er").mkdir(parents=True)
    archive = zipped(tmp_path / "work" / "deep" / "a.zip", {slash.join(parts) or "x": PHOTO})
    cache = tmp_path / "work" / "deep" / "er"
    before = {k for k in tree(tmp_path) if not k.startswith("work/deep/er/photos")}
    try:
        folder = unpack(archive, cache, Progress())
    except DataError:
        folder = cache / "photos" / "none"
    after = {k for k in tree(tmp_path) if not k.startswith("work/deep/er/photos")}
    assert after == before
    assert {p for p in (cache / "photos").glob("*") if p.suffix != ".lock"} <= {folder}


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", packed(ENTRIES)[:-30], packed(ENTRIES)[: len(packed(ENTRIES)) // 2]],
    ids=["empty", "text", "no end", "half"],
)
def test_what_is_no_whole_zip_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    assert "not a readable zip" in refused(path, tmp_path / "cache")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "a.zip", tmp_path / "cache")
    (tmp_path / "b.zip").mkdir()
    assert "not a readable zip" in refused(tmp_path / "b.zip", tmp_path / "cache")


def test_a_damaged_inner_zip_is_named_with_its_archive(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"train.zip": packed(ENTRIES)[:1000]})
    assert "a.zip/train.zip: not a readable zip" in refused(path, tmp_path / "cache")


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_damaged_entry_is_named_and_leaves_nothing(tmp_path: Path, method: int) -> None:
    path = zipped(tmp_path / "a.zip", {**ENTRIES, "dog/c.jpg": PHOTO * 9}, method)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("dog/c.jpg").header_offset
    held = bytearray(path.read_bytes())
    for place in range(start + 100, start + 160):
        held[place] ^= 0x55
    path.write_bytes(held)
    assert "entry dog/c.jpg" in refused(path, tmp_path / "cache")


def test_a_wrong_crc_is_noticed(tmp_path: Path) -> None:
    held = bytearray(packed({"cat/a.jpg": PHOTO}))
    at = held.rfind(b"PK\x01\x02") + 16
    held[at : at + 4] = struct.pack("<I", 1)
    path = tmp_path / "a.zip"
    path.write_bytes(held)
    assert "CRC" in refused(path, tmp_path / "cache")


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    held = bytearray(packed({"cat/a.jpg": PHOTO}))
    held[6] |= 1
    held[held.rfind(b"PK\x01\x02") + 8] |= 1
    path = tmp_path / "a.zip"
    path.write_bytes(held)
    assert "encrypted" in refused(path, tmp_path / "cache")


def test_a_moved_archive_finds_its_photos_and_another_does_not(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = unpack(zipped(tmp_path / "a.zip", ENTRIES), cache, Progress())
    (first / ".witness").touch()  # would be gone if it were unpacked again
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "a.zip").rename(tmp_path / "elsewhere" / "other name.zip")
    assert unpack(moved, cache, Progress()) == first
    assert (first / ".witness").exists()
    changed = zipped(tmp_path / "a.zip", {**ENTRIES, "dog/b.jpg": PHOTO})
    assert unpack(changed, cache, Progress()) != first


def start_unpacking(path: Path, cache: Path) -> subprocess.Popen[str]:
    code = (
        "import sys; from pathlib import Path; from contextlib import contextmanager\n"
        "from catdog.data.packed.archive import unpack; from catdog.progress import Progress\n"
        "class Slow(Progress):\n"
        "    @contextmanager\n"
        "    def track(self, stage, total):\n"
        "        def advance(n): print('entry', flush=True); sys.stdin.readline()\n"
        "        yield advance\n"
        "print('asks', flush=True)\n"
        "print(unpack(Path(sys.argv[1]), Path(sys.argv[2]), Slow()), flush=True)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(cache)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_killed_unpack_leaves_nothing_that_counts_and_the_next_cleans_up(
    tmp_path: Path,
) -> None:
    path, cache = zipped(tmp_path / "a.zip", ENTRIES), tmp_path / "cache"
    process = start_unpacking(path, cache)
    assert [process.stdout.readline() for _ in range(2)] == ["asks\n", "entry\n"]
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert files(cache / "photos") != {}  # it was killed in the middle
    folder = unpack(path, cache, Progress())
    assert files(folder) == ENTRIES
    assert [p for p in (cache / "photos").iterdir() if p.is_dir()] == [folder]


def test_two_processes_unpack_once_and_neither_sees_half(tmp_path: Path) -> None:
    path, cache = zipped(tmp_path / "a.zip", ENTRIES), tmp_path / "cache"
    first = start_unpacking(path, cache)
    assert [first.stdout.readline() for _ in range(2)] == ["asks\n", "entry\n"]
    second = start_unpacking(path, cache)
    assert second.stdout.readline() == "asks\n"
    time.sleep(0.1)  # time to do harm, if it did not wait for the lock that the first holds
    spoken, _ = first.communicate("\n\n\n")
    folder = Path(spoken.split()[-1])
    assert second.communicate("\n\n\n")[0] == f"{folder}\n"  # and has nothing left to unpack
    assert files(folder) == ENTRIES
    assert (first.returncode, second.returncode) == (0, 0)
