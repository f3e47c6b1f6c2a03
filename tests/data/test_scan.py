"""Photos are found, each is checked once, and no file on earth stops the check."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catdog.core import files
from catdog.data import scan
from catdog.data.folders import Found, find_by_name, find_in_folders
from catdog.data.scan import Verdict, check, check_all
from catdog.errors import DataError
from catdog.progress import Progress

_opened: list[str] | None = None


def _listen(event: str, args: tuple) -> None:
    if _opened is not None and event == "open" and isinstance(args[0], (str, os.PathLike)):
        _opened.append(os.fspath(args[0]))


sys.addaudithook(_listen)  # there is no way to take one off again: it mostly sleeps


@contextmanager
def opened_files() -> Iterator[list[str]]:
    """Hear of every file that this process opens, in whatever thread."""
    global _opened
    _opened = []
    try:
        yield _opened
    finally:
        _opened = None


def draw(path: Path, colour: int = 0, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 7), (colour % 256, colour // 256, 7)).save(path, **options)
    return path


def checked(paths: list[Path], cache: Path) -> list[Verdict]:
    return check_all([str(path) for path in paths], cache, Progress(), threads=2)


def bomb(path: Path, width: int, height: int) -> Path:
    """A PNG of some 100 bytes that claims to be huge."""
    chunks = b""
    for name, data in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0" * 100)),
        (b"IEND", b""),
    ):
        chunks += struct.pack(">I", len(data)) + name + data
        chunks += struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return path


@pytest.mark.parametrize(
    "kind, reason",
    [
        ("empty", "empty file"),
        ("truncated", "damaged"),
        ("text", "not an image"),
        ("bomb", "bomb"),
        ("folder", "unreadable"),
        ("dangling link", "unreadable"),
        ("gone", "unreadable"),
        ("svg", "not an image"),
    ],
)
def test_a_bad_file_gets_a_reason_and_no_exception(tmp_path: Path, kind: str, reason: str) -> None:
    path = tmp_path / "cat" / "a.jpg"
    good = draw(tmp_path / "cat" / "good.jpg")
    if kind in ("empty", "text", "truncated", "svg"):
        path.write_bytes(
            {
                "empty": b"",
                "text": b"<html>404 Not Found</html>",
                "truncated": good.read_bytes()[:-200],
                "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
            }[kind]
        )
    elif kind == "bomb":
        bomb(path, 50_000, 50_000)
    elif kind == "folder":
        path.mkdir()
    elif kind == "dangling link":
        path.symlink_to(tmp_path / "nowhere")
    bad, fine = checked([path, good], tmp_path / "cache")
    assert reason in bad.problem
    assert fine.problem == ""


@pytest.mark.parametrize("size", [(50_000, 50_000), (12_000, 9_000)], ids=["huge", "large"])
@pytest.mark.filterwarnings("ignore:Image size")
def test_a_bomb_is_refused_unread(tmp_path: Path, size: tuple[int, int]) -> None:
    import tracemalloc

    path = bomb(tmp_path / "a.png", *size)
    tracemalloc.start()
    verdict = check(str(path), tmp_path / "cache")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "bomb" in verdict.problem
    assert peak < 2**20


def test_a_good_photo_is_known_by_its_bytes(tmp_path: Path) -> None:
    path = draw(tmp_path / "a.jpg")
    data = path.read_bytes()
    (verdict,) = checked([path], tmp_path / "cache")
    assert verdict == Verdict(hashlib.sha256(data).hexdigest(), len(data))


def test_orientation_and_conversion_are_found(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = draw(tmp_path / "a.jpg", exif=exif)
    odd = draw(tmp_path / "b.tif")
    first, second = checked([turned, odd], tmp_path / "cache")
    assert (first.orientation, first.converted) == (6, "")
    assert (second.orientation, second.converted) == (1, "TIFF RGB")
    copy = scan.converted_path(second.sha256, tmp_path / "cache")
    np.testing.assert_array_equal(np.asarray(Image.open(copy)), np.asarray(Image.open(odd)))


def test_the_name_of_a_file_does_not_matter(tmp_path: Path) -> None:
    png = draw(tmp_path / "a.png")
    named = png.rename(tmp_path / "a.jpg")
    (verdict,) = checked([named], tmp_path / "cache")
    assert verdict.problem == ""


def test_verdicts_come_in_the_order_of_the_paths(tmp_path: Path) -> None:
    paths = [draw(tmp_path / f"{i}.jpg", i * 900) for i in range(40)]
    expected = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    assert [v.sha256 for v in checked(paths, tmp_path / "cache")] == expected
    assert [v.sha256 for v in checked(paths[::-1], tmp_path / "cache")] == expected[::-1]
    assert checked([], tmp_path / "cache") == []


def test_a_second_check_opens_no_photo(tmp_path: Path) -> None:
    paths = [draw(tmp_path / "all" / f"{i}.jpg", i * 900) for i in range(9)]
    (tmp_path / "all" / "bad.jpg").write_bytes(b"bad")
    paths += [tmp_path / "all" / "bad.jpg", draw(tmp_path / "all" / "odd.bmp")]
    with opened_files() as opened:
        first = checked(paths, tmp_path / "cache")
    assert {str(path) for path in paths} <= set(opened)
    with opened_files() as opened:
        assert checked(paths, tmp_path / "cache") == first
    assert set(opened) & {str(path) for path in paths} == set()


def test_only_what_changed_is_checked_again(tmp_path: Path) -> None:
    paths = [draw(tmp_path / "all" / f"{i}.jpg", i * 900) for i in range(5)]
    before = checked(paths, tmp_path / "cache")
    stamp = paths[2].stat().st_mtime_ns
    paths[2].write_bytes(paths[2].read_bytes()[::-1])  # of the same size
    os.utime(paths[2], ns=(stamp, stamp + 1))
    with opened_files() as opened:
        after = checked(paths, tmp_path / "cache")
    assert set(opened) & {str(path) for path in paths} == {str(paths[2])}
    assert [a == b for a, b in zip(before, after, strict=True)] == [1, 1, 0, 1, 1]
    assert after[2].sha256 == hashlib.sha256(paths[2].read_bytes()).hexdigest()


def test_a_file_that_was_missing_is_checked_once_it_is_there(tmp_path: Path) -> None:
    paths = [draw(tmp_path / "all" / "a.jpg"), tmp_path / "all" / "b.jpg"]
    assert [bool(v.problem) for v in checked(paths, tmp_path / "cache")] == [False, True]
    draw(paths[1])
    assert [bool(v.problem) for v in checked(paths, tmp_path / "cache")] == [False, False]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[1, 2]",
        lambda text: "3",
        lambda text: "null",
        lambda text: "\x00" * len(text),
        lambda text: json.dumps({path: entry[:1] for path, entry in json.loads(text).items()}),
        lambda text: json.dumps({path: 3 for path in json.loads(text)}),
    ],
    ids=["empty", "half", "a list", "a number", "null", "zeros", "stamps only", "numbers"],
)
def test_a_damaged_memory_is_rebuilt(tmp_path: Path, damage: object) -> None:
    paths = [draw(tmp_path / "all" / f"{i}.jpg", i * 900) for i in range(3)]
    first = checked(paths, tmp_path / "cache")
    (memory,) = (tmp_path / "cache" / "index").iterdir()
    whole = memory.read_text()
    memory.write_text(damage(whole))  # type: ignore[operator]
    assert checked(paths, tmp_path / "cache") == first
    assert memory.read_text() == whole


def test_a_lost_conversion_is_made_again(tmp_path: Path) -> None:
    odd = draw(tmp_path / "all" / "a.bmp")
    (verdict,) = checked([odd], tmp_path / "cache")
    copy = scan.converted_path(verdict.sha256, tmp_path / "cache")
    held = copy.read_bytes()
    copy.unlink()
    assert checked([odd], tmp_path / "cache") == [verdict]
    assert copy.read_bytes() == held


def test_checking_in_threads_leaves_warnings_as_they_were(tmp_path: Path) -> None:
    paths = [draw(tmp_path / f"{i}.jpg", i * 900) for i in range(60)]
    before = list(warnings.filters)
    check_all([str(p) for p in paths], tmp_path / "cache", Progress(), threads=8)
    assert list(warnings.filters) == before


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def test_class_folders_are_found_and_hidden_files_are_not(root: Path) -> None:
    for name in ("cat/b.jpg", "cat/a.jpg", "cat/deeper/c.jpg", "dog/a.jpg",
                 "cat/.DS_Store", "cat/.hidden/a.jpg", ".git/a.jpg", "__MACOSX/cat/._a.jpg",
                 "dog/__MACOSX/a.jpg", "readme.txt"):  # fmt: skip
        draw(root / name, format="JPEG")
    assert find_in_folders(root) == [
        Found(str(root / name), name.split("/")[0], None)
        for name in ("cat/a.jpg", "cat/b.jpg", "cat/deeper/c.jpg", "dog/a.jpg")
    ]


@pytest.mark.parametrize(
    "folders, splits",
    [
        (("train", "val", "test"), ("train", "val", "test")),
        (("Training", "VALID", "Test"), ("train", "val", "test")),
        (("train", "validation"), ("train", "val")),
        (("train", "test"), ("train", "test")),
    ],
)
@pytest.mark.parametrize("wrapped", ["", "data", "archive/data"])
def test_ready_made_splits_are_found_by_name(
    root: Path, folders: tuple[str, ...], splits: tuple[str, ...], wrapped: str
) -> None:
    for folder in folders:
        for label in ("cat", "dog"):
            draw(root / wrapped / folder / label / "a.jpg")
    found = find_in_folders(root)
    assert {(f.split, f.label) for f in found} == {(s, c) for s in splits for c in ("cat", "dog")}


def test_a_folder_called_train_among_classes_is_a_class(root: Path) -> None:
    for label in ("train", "plane", "car"):
        draw(root / label / "a.jpg")
    assert {(f.label, f.split) for f in find_in_folders(root)} == {
        ("train", None), ("plane", None), ("car", None)
    }  # fmt: skip


def test_a_single_train_folder_is_only_a_wrapping(root: Path) -> None:
    for label in ("cat", "dog"):
        draw(root / "train" / label / "a.jpg")
    assert {(f.label, f.split) for f in find_in_folders(root)} == {
        ("cat", None), ("dog", None)
    }  # fmt: skip


def test_kaggle_names_give_the_class(tmp_path: Path) -> None:
    for name in ("train/cat.0.jpg", "train/dog.12.jpg", "train/guinea pig.3.jpeg"):
        draw(tmp_path / name)
    for name in ("test1/1.jpg", "cat.jpg", "train/cat.x.jpg", "train/.cat.1.jpg"):
        draw(tmp_path / name)
    found = find_by_name(tmp_path)
    assert [(Path(f.path).name, f.label) for f in found] == [
        ("cat.0.jpg", "cat"), ("dog.12.jpg", "dog"), ("guinea pig.3.jpeg", "guinea pig")
    ]  # fmt: skip


@pytest.mark.parametrize("find", [find_in_folders, find_by_name])
def test_a_missing_folder_and_an_empty_one_are_refused(tmp_path: Path, find: object) -> None:
    with pytest.raises(DataError, match="there is no such folder. Check data.path"):
        find(tmp_path / "nowhere")  # type: ignore[operator]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no (class folders|files named like cat.0.jpg)"):
        find(tmp_path / "empty")  # type: ignore[operator]


def test_splits_beside_other_folders_are_refused(tmp_path: Path) -> None:
    for name in ("train/cat", "train/dog", "test/cat", "docs"):
        draw(tmp_path / name / "a.png")
    with pytest.raises(DataError, match="docs"):
        find_in_folders(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert check(str(tmp_path / "pipe.jpg"), tmp_path).problem == "unreadable: not a regular file"


def test_written_files_follow_the_umask(tmp_path: Path) -> None:
    files.write_atomically(tmp_path / "a", b"")
    plain = tmp_path / "b"
    plain.touch()
    assert (tmp_path / "a").stat().st_mode == plain.stat().st_mode


# === stored verdicts ===


def memory_of(cache: Path) -> Path:
    (memory,) = (cache / "index").iterdir()
    return memory


def exchange_verdicts(known: dict[str, list]) -> None:
    (one, other, *_) = known
    known[one][1:], known[other][1:] = known[other][1:], known[one][1:]


def exchange_hashes(known: dict[str, list]) -> None:
    (one, other, *_) = known
    known[one][1], known[other][1] = known[other][1], known[one][1]


def turn(known: dict[str, list]) -> None:
    next(iter(known.values()))[3] = 6


def condemn(known: dict[str, list]) -> None:
    next(iter(known.values()))[5] = "not an image"


@pytest.mark.parametrize("damage", [exchange_verdicts, exchange_hashes, turn, condemn])
def test_a_verdict_that_changed_is_made_again(tmp_path: Path, damage: object) -> None:
    paths = [draw(tmp_path / "all" / f"{i}.jpg", i * 900) for i in range(3)]
    first = checked(paths, tmp_path / "cache")
    memory = memory_of(tmp_path / "cache")
    held = memory.read_text()
    known = json.loads(held)
    damage(known)  # type: ignore[operator]
    memory.write_text(json.dumps(known))
    assert checked(paths, tmp_path / "cache") == first
    assert json.loads(memory.read_text()) == json.loads(held)


def test_verdicts_of_the_earlier_format_are_accepted(tmp_path: Path) -> None:
    paths = [draw(tmp_path / "all" / f"{i}.jpg", i * 900) for i in range(3)]
    paths.append(draw(tmp_path / "all" / "odd.bmp"))
    first = checked(paths, tmp_path / "cache")
    memory = memory_of(tmp_path / "cache")
    known = {path: entry[:6] for path, entry in json.loads(memory.read_text()).items()}
    memory.write_text(json.dumps(known))
    with opened_files() as opened:
        assert checked(paths, tmp_path / "cache") == first
    assert set(opened) & {str(path) for path in paths} == set()
    paths.append(draw(tmp_path / "all" / "new.jpg", 77))
    checked(paths, tmp_path / "cache")
    assert {len(entry) for entry in json.loads(memory.read_text()).values()} == {8}


@pytest.mark.parametrize("harm", ["flipped", "exchanged", "cut"])
def test_a_png_copy_that_changed_is_made_again(tmp_path: Path, harm: str) -> None:
    paths = [draw(tmp_path / "all" / f"{i}.bmp", i * 900) for i in range(2)]
    verdicts = checked(paths, tmp_path / "cache")
    one, other = (scan.converted_path(v.sha256, tmp_path / "cache") for v in verdicts)
    held = one.read_bytes()
    if harm == "exchanged":
        one.write_bytes(other.read_bytes())
    else:
        one.write_bytes(held[:-20] if harm == "cut" else held[:60] + b"\xff" + held[61:])
    assert checked(paths, tmp_path / "cache") == verdicts
    assert one.read_bytes() == held


def test_a_file_that_is_too_large_is_listed_and_not_read(tmp_path: Path) -> None:
    large = draw(tmp_path / "all" / "large.jpg")
    os.truncate(large, 3_200_000_000)  # sparse: it takes no space
    with opened_files() as opened:
        verdict, _ = checked([large, draw(tmp_path / "all" / "a.jpg")], tmp_path / "cache")
    assert str(large) not in opened
    assert verdict.problem == ("too large: 3.2 GB, at most 200.0 MB are read; save it as JPEG")
