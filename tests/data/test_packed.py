"""Archives in archives and tar archives: unpacked as zips are, with the same limits and checks."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import shutil
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from catdog.data import prepare
from catdog.data.folders import find_in_folders
from catdog.data.packed import archive, layout
from catdog.data.packed.archive import unpack
from catdog.errors import DataError
from catdog.inference import files
from catdog.progress import Progress
from catdog.settings import Data

PHOTO = random.Random(0).randbytes(3000)
ENTRIES = {f"{label}/{i}.jpg": PHOTO[i:] + label.encode() for label in ("cat", "dog") for i in "01"
           for i in (int(i),)}  # fmt: skip
BLOCK = tarfile.BLOCKSIZE


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def zipped(entries: dict[str, bytes]) -> bytes:
    with io.BytesIO() as held:
        with zipfile.ZipFile(held, "w") as made:
            for name, data in entries.items():
                made.writestr(name, data)
        return held.getvalue()


def tarred(entries: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    with io.BytesIO() as held:
        with tarfile.open(fileobj=held, mode="w", format=form) as made:
            for name, data in entries.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                made.addfile(entry, io.BytesIO(data))
        return held.getvalue()


PACKERS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "a.zip": zipped,
    "a.tar": tarred,
    "a.tar.gz": lambda entries: gzip.compress(tarred(entries)),
    "a.TGZ": lambda entries: gzip.compress(tarred(entries, tarfile.GNU_FORMAT)),
    "a.tar.bz2": lambda entries: bz2.compress(tarred(entries)),
    "a.tar.xz": lambda entries: lzma.compress(tarred(entries)),
}
TARS = [name for name in PACKERS if name != "a.zip"]


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def photos(folder: Path) -> dict[str, bytes]:
    found = [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")]
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


def refused(path: Path, cache: Path) -> str:
    with pytest.raises(DataError) as caught:
        unpack(path, cache, Progress())
    assert str(caught.value).startswith(str(path))
    assert [p.name for p in (cache / "photos").glob("*") if p.suffix != ".lock"] == []
    return str(caught.value)


@pytest.mark.parametrize("name", PACKERS)
def test_the_photos_come_out_once(tmp_path: Path, name: str) -> None:
    entries = {"./cat/a.jpg": PHOTO, "dog/" + "n" * 120 + ".jpg": PHOTO[::-1]}
    path = put(tmp_path / name, PACKERS[name](entries))
    folder = unpack(path, tmp_path / "cache", Progress())
    assert photos(folder) == {n.removeprefix("./"): data for n, data in entries.items()}
    (folder / ".witness").touch()  # would be gone if it were unpacked again
    copy = put(tmp_path / "elsewhere" / name, path.read_bytes())
    assert unpack(copy, tmp_path / "cache", Progress()) == folder
    assert (folder / ".witness").exists()


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("inner", ["train.zip", "train.tar.gz"])
def test_several_archives_in_one_become_folders(tmp_path: Path, name: str, inner: str) -> None:
    pack = PACKERS["a.zip" if inner.endswith("zip") else "a.tar.gz"]
    held = {inner: pack(ENTRIES), inner.replace("train", "test"): pack(ENTRIES), "read.me": b"!"}
    held["__MACOSX/._train.zip"] = b"of macOS"
    folder = unpack(put(tmp_path / name, PACKERS[name](held)), tmp_path / "cache", Progress())
    there = {k: v for k, v in photos(folder).items() if "__MACOSX" not in k}
    train, test = ({f"{s}/{k}": v for k, v in ENTRIES.items()} for s in ("train", "test"))
    assert there == train | test | {"read.me": b"!"}
    assert {(item.label, item.split) for item in find_in_folders(folder)} == {
        (label, split) for label in ("cat", "dog") for split in ("train", "test")
    }


def test_archives_of_one_name_do_not_mix(tmp_path: Path) -> None:
    one, two = {"x.jpg": b"1"}, {"x.jpg": b"2"}
    held = {
        "cat.zip": zipped(one),
        "cat.tar": tarred(two),
        "dog.zip": zipped(one),
        "dog/x.jpg": b"3",
    }
    folder = unpack(put(tmp_path / "a.zip", zipped(held)), tmp_path / "cache", Progress())
    assert photos(folder) == {
        "cat.zip unpacked/x.jpg": b"1", "cat.tar unpacked/x.jpg": b"2",
        "dog.zip unpacked/x.jpg": b"1", "dog/x.jpg": b"3",
    }  # fmt: skip


def test_an_archive_alone_in_another_stands_for_it(tmp_path: Path) -> None:
    held = zipped({"archive.tar": tarred({"archive.zip": zipped(ENTRIES)})})
    folder = unpack(put(tmp_path / "a.zip", held), tmp_path / "cache", Progress())
    assert photos(folder) == ENTRIES


def test_archives_are_not_opened_for_ever(tmp_path: Path) -> None:
    held = zipped(ENTRIES)
    for _ in range(layout.DEEPEST):
        held = zipped({"a.zip": held})
    assert "more than 3 archives in one another" in refused(
        put(tmp_path / "a.zip", held), tmp_path / "cache"
    )


def test_only_train_counts_where_the_others_have_no_labels(tmp_path: Path) -> None:
    outer = zipped({"train.zip": zipped(ENTRIES), "test1.zip": b"not even a zip", "s.csv": b"id"})
    path = put(tmp_path / "a.zip", outer)
    assert photos(unpack(path, tmp_path / "cache", Progress(), only_train=True)) == ENTRIES
    assert "a.zip/test1.zip: not a readable zip" in refused(path, tmp_path / "other")


@pytest.mark.parametrize("name", TARS)
def test_what_differs_is_unpacked_again_and_said(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / name, PACKERS[name](ENTRIES))
    for noted in (True, False):
        folder = unpack(path, tmp_path / "cache", Progress())
        if not noted:
            (folder / ".catdog-contents").unlink()
        (folder / "cat/0.jpg").write_bytes(PHOTO[::-1][:3003])
        (folder / "dog/1.jpg").unlink()
        progress = Notes()
        assert unpack(path, tmp_path / "cache", progress) == folder
        assert photos(folder) == ENTRIES
        assert progress.notes[0].startswith(f"2 files of {name} missing, changed or added")
    (folder / ".catdog-contents").unlink()  # a lost note costs a comparison only
    progress = Notes()
    unpack(path, tmp_path / "cache", progress)
    assert not progress.notes and (folder / ".catdog-contents").exists()


def test_a_tar_that_changed_is_another(tmp_path: Path) -> None:
    path = put(tmp_path / "a.tar", tarred(ENTRIES))
    before = unpack(path, tmp_path / "cache", Progress())
    path.write_bytes(path.read_bytes().replace(PHOTO[100:200], PHOTO[100:200][::-1]))
    after = unpack(path, tmp_path / "cache", Progress())
    assert after != before
    assert photos(after) != ENTRIES and photos(before) == ENTRIES


@pytest.mark.parametrize("harm", [b"", b"[", b"[1, 2]", b'[[1], "0", 0]', b"\xff"])
def test_a_damaged_memory_of_a_tar_costs_one_reading(tmp_path: Path, harm: bytes) -> None:
    path = put(tmp_path / "a.tar", tarred(ENTRIES))
    folder = unpack(path, tmp_path / "cache", Progress())
    (memo,) = (tmp_path / "cache/index").iterdir()
    memo.write_bytes(harm)
    assert unpack(path, tmp_path / "cache", Progress()) == folder


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@pytest.mark.parametrize(
    "bad",
    [
        entry("../evil.jpg"), entry("/tmp/evil.jpg"), entry("cat/../../evil.jpg"),
        entry("C:evil.jpg"), entry("cat/link", tarfile.SYMTYPE, ".."),
        entry("cat/hard", tarfile.LNKTYPE, "/etc/passwd"), entry("cat/pipe", tarfile.FIFOTYPE),
        entry("cat/disk", tarfile.BLKTYPE),
    ],
    ids=lambda bad: bad.name,
)  # fmt: skip
@pytest.mark.parametrize("nested", [False, True])
def test_no_member_leaves_the_folder(tmp_path: Path, bad: tarfile.TarInfo, nested: bool) -> None:
    with io.BytesIO() as held:
        with tarfile.open(fileobj=held, mode="w") as made:
            made.addfile(entry("cat/a.jpg"))
            made.addfile(bad)
        data = held.getvalue()
    data = zipped({"in.tar": data}) if nested else data
    said = refused(put(tmp_path / ("a.zip" if nested else "a.tar"), data), tmp_path / "cache")
    why = "would land outside its folder" if bad.isreg() else "is a link or a device"
    assert f"entry {bad.name!r} {why}; nothing was unpacked" in said
    assert {p.name for p in tmp_path.iterdir()} <= {"a.tar", "a.zip", "cache", "home"}


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    half = len(data) // 2
    return data[:half] + bytes([data[half] ^ 0xFF]) + data[half + 1 :]


HARMED = [(name, harm) for name in TARS for harm in (cut, flipped)]
HARMED.remove(("a.tar", flipped))  # a plain tar has no checksum of what it holds


@pytest.mark.parametrize(("name", "harm"), HARMED)
def test_a_damaged_tar_is_refused(
    tmp_path: Path, name: str, harm: Callable[[bytes], bytes]
) -> None:
    said = refused(put(tmp_path / name, harm(PACKERS[name](ENTRIES))), tmp_path / "cache")
    assert "cannot be read" in said or "not a readable tar archive" in said


@pytest.mark.parametrize("kept", [0, 1])
def test_a_damaged_header_is_not_the_end(tmp_path: Path, kept: int) -> None:
    """Python's own reader takes either for the end, and loses the photos behind it."""
    size = BLOCK + 6 * BLOCK  # a header, and 3,003 bytes in blocks
    data = bytearray(tarred(ENTRIES, tarfile.USTAR_FORMAT))
    if kept:
        data[2 * size + 10] ^= 1
    else:
        del data[2 * size :]
    path = put(tmp_path / "a.tar", bytes(data))
    with tarfile.open(path) as opened:
        assert len(opened.getnames()) == 2
    assert "cat/1.jpg cannot be read (what follows is cut off or damaged)" in refused(
        path, tmp_path / "cache"
    )


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.xz", "a.tar.bz2"])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, name: str) -> None:
    head = entry("cat/0.bmp")
    head.size = 1_200_000_000
    pack = {"gz": gzip, "xz": lzma, "bz2": bz2}[name.rpartition(".")[2]]
    made = pack.compress(head.tobuf(tarfile.USTAR_FORMAT) + bytes(10_000_000))
    said = refused(put(tmp_path / name, made), tmp_path / "cache")
    assert "its 1 file would take 1.2 GB, and it has" in said and "unpack it by hand" in said


def test_bombs_inside_count_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "ALWAYS_BYTES", 250_000)
    with io.BytesIO() as held:
        with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr("a.bmp", bytes(100_000))
        one = held.getvalue()
    path = put(tmp_path / "a.zip", zipped({f"{k}.zip": one for k in range(3)}))
    assert path.stat().st_size * layout.MOST_TIMES < 250_000
    said = refused(path, tmp_path / "cache")
    assert "a.zip/2.zip: its 1 file would take 100.0 kB (300." in said


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", [2**31, -(2**31)])
def test_a_header_is_not_read_into_memory_whatever_its_size(
    tmp_path: Path, kind: bytes, size: int
) -> None:
    head = entry("x", kind)
    head.size = size
    data = head.tobuf(tarfile.GNU_FORMAT) + bytes(10 * BLOCK)
    assert "not a readable tar archive" in refused(put(tmp_path / "a.tar", data), tmp_path / "c")


def test_a_size_below_zero_does_not_loop(tmp_path: Path) -> None:
    head = entry("cat/a.jpg")
    head.size = -BLOCK
    data = head.tobuf(tarfile.GNU_FORMAT) + bytes(10 * BLOCK)
    assert "not a readable tar archive" in refused(put(tmp_path / "a.tar", data), tmp_path / "c")


def test_what_does_not_fit_on_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a small disk cannot be had in a test without mounting one: its answer is replaced
    small = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda place: small)
    said = refused(put(tmp_path / "a.tgz", gzip.compress(tarred(ENTRIES))), tmp_path / "cache")
    assert "its 4 files would take 12.0 kB, but 10.0 kB are left" in said


def test_the_last_of_one_name_counts(tmp_path: Path) -> None:
    twice = tarred({"cat/a.jpg": b"old"})[: 2 * BLOCK] + tarred({"cat/a.jpg": b"new!"})
    folder = unpack(put(tmp_path / "a.tar", twice), tmp_path / "cache", Progress())
    assert photos(folder) == {"cat/a.jpg": b"new!"}


def png(number: int) -> bytes:
    with io.BytesIO() as held:
        Image.new("RGB", (8, 8), (number, 40, 60)).save(held, "PNG")
        return held.getvalue()


def test_data_path_takes_them_and_so_does_predict(tmp_path: Path) -> None:
    parts = {
        f"{split}.zip": zipped({f"{label}/{k}.png": png(start + 20 * (label == "dog") + k)
                                for label in ("cat", "dog") for k in range(count)})
        for split, start, count in (("train", 0, 8), ("test", 100, 4))
    }  # fmt: skip
    for name, pack in PACKERS.items():
        path = put(tmp_path / name, pack(parts))
        choice = Data(name="folder", path=str(path))
        built = prepare(choice, tmp_path / "cache", Progress(), 2)
        assert Counter(p.split for p in built.photos if p.split == "test") == {"test": 8}
        assert built.classes == ("cat", "dog") and len(built.photos) == 24
        found = files.find([str(path)], Progress())
        assert len(found) == 24 and found[0][1] == f"{path}/test/cat/0.png"


def test_a_missing_archive_and_one_that_is_none(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "a.tar.gz", tmp_path / "cache")
    assert "not a readable tar archive" in refused(put(tmp_path / "b.tgz", b"x"), tmp_path / "c")
    with pytest.raises(DataError, match=r"c\.tar\.gz: there is no such file"):
        prepare(Data(name="folder", path=str(tmp_path / "c.tar.gz")), tmp_path, Progress(), 2)
