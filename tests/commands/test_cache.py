"""``python -m catdog.cache``: it lists what catdog made and removes it unless it is in use."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Ended

from catdog import cache
from catdog.core import use_locks
from catdog.data import scan
from catdog.progress import Progress
from catdog.system import cache_contents, cache_removal

RECIPE = {
    "backbone": "mobilenet_v2",
    "image_size": 224,
    "resize": "squash",
    "view": "clean",
    "cut": None,
    "pooling": "avg",
    "dtype": "float16",
    "tensorflow": "2.20.0",
    "keras": "3.1.0",
}
OLD = 40 * cache_contents.DAY
STORE = "features/" + "ab" * 10
ZIP = "photos/" + "cd" * 8
NPZ = "weights/mobilenet_v2_1.0_2f518e773d44_1.npz"


def put(path: Path, size: int = 1, age: float = 0) -> Path:
    """Write a file, used last some seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    aged(path, age)
    return path


def aged(path: Path, age: float) -> None:
    then = time.time() - age
    os.utime(path, (then, then))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A cache with one thing of each kind: the features are old, the rest is of today."""
    root = tmp_path / "cache"
    store = root / STORE
    put(store / "rows.bin", 5000, OLD)
    put(store / "index.bin", 3 * 36, OLD)
    (store / "recipe.json").write_text(json.dumps(RECIPE))
    aged(store, OLD)
    put(root / ZIP / "cat.0.jpg", 200)
    put(root / f"{ZIP}.lock", 0)
    put(root / "photos/demo/v1-0-400/cat/0000.jpg", 100)
    put(root / "index/0123456789abcdef-2.json", 50)
    put(root / "converted" / f"{'e' * 64}.png", 40)
    put(root / NPZ, 30)
    return root


def run(*words: object, stdin: str | None = None, **popen: object) -> Ended:
    """Run the command; its input is no terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "catdog.cache", *map(str, words)],
        input=stdin or "", capture_output=True, text=True, timeout=60, **popen,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


def left(root: Path) -> set[str]:
    return {str(item.path.relative_to(root)) for item in cache_contents.items(root)}


# === the list ===


def test_the_list_says_what_each_thing_is_how_large_and_when_it_was_used(root: Path) -> None:
    said = run("--dir", root)
    assert (said.status, said.err) == (0, "")
    features, *_ = [line for line in said.out.splitlines() if "features/" in line]
    assert "mobilenet_v2 224 px squash, clean, avg, float16, 3 photos" in features
    assert "; made by TensorFlow 2.20.0" in features and " 40 days ago " in features
    assert re.search(r"photos +an unpacked archive, 1 files +200 bytes +today", said.out)
    assert re.search(r"photos +drawn demo photos, 1 files +100 bytes +today", said.out)
    assert "copies of 1 photos that TensorFlow cannot read" in said.out
    assert re.search("weights +ImageNet weights of mobilenet_v2 ", said.out)
    assert re.search(r"^total +5\.\d kB", said.out, re.MULTILINE)
    assert "not catdog's" not in said.out


def test_what_is_not_catdogs_is_named_and_never_removed(root: Path) -> None:
    own = ["holiday.jpg", "photos/holiday/1.jpg", "weights/mine.h5", "converted.txt"]
    for name in own:
        put(root / name)
    put(root / "features" / ("9" * 20) / "notes.txt")
    said = run("--dir", root)
    assert "not catdog's, never removed: converted.txt, holiday.jpg" in said.out
    for name in ("photos/holiday", "weights/mine.h5", f"features/{'9' * 20}"):
        assert f", {name}" in said.out
    assert run("prune", "--all", "--yes", "--dir", root).status == 0
    assert left(root) == set()
    assert all((root / name).exists() for name in own)
    assert (root / "features" / ("9" * 20) / "notes.txt").exists()


def test_a_folder_that_is_a_link_is_not_followed(root: Path, tmp_path: Path) -> None:
    put(tmp_path / "own/cat/0.jpg")
    (root / "photos" / ("12" * 8)).symlink_to(tmp_path / "own")
    assert run("prune", "--all", "--yes", "--dir", root).status == 0
    assert (root / "photos" / ("12" * 8) / "cat/0.jpg").exists(), "nor removed"


@pytest.mark.parametrize(
    ("recipe", "about"),
    [
        (
            {"view": ["light", 2, 7], "cut": "block_16"},
            "light view 2 seed 7, cut at block_16, avg",
        ),
        ({"pooling": None}, "clean, no pooling, float16"),
        (None, "its recipe is lost, 3 photos"),
        ({"view": []}, "its recipe is lost, 3 photos"),
    ],
    ids=["view", "flat", "gone", "odd"],
)
def test_a_store_is_what_its_recipe_says(recipe: dict | None, about: str, root: Path) -> None:
    file = root / STORE / "recipe.json"
    file.write_text("cut of" if recipe is None else json.dumps({**RECIPE, **recipe}))
    (item,) = [item for item in cache_contents.items(root) if item.kind == "features"]
    assert about in item.about


@pytest.mark.parametrize(
    ("days", "text"), [(-1, "today"), (0.9, "today"), (1, "yesterday"), (2.5, "2 days ago")]
)
def test_ages_are_readable(days: float, text: str) -> None:
    assert cache_contents.age_text(1e9, now=1e9 + days * cache_contents.DAY) == text


def test_a_cache_that_is_not_there(tmp_path: Path) -> None:
    said = run()
    assert (said.status, said.err) == (0, "") and "not there yet" in said.out
    said = run("--dir", tmp_path / "none")
    assert said.status == 1
    assert said.err == f"catdog: --dir={tmp_path}/none: there is no such folder\n"


# === what is removed ===

REST = {ZIP, "photos/demo/v1-0-400", "index/0123456789abcdef-2.json", "converted", NPZ}


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["--all"], set()),
        (["--older-than", "30d"], REST),
        (["--older-than", "6w"], REST | {STORE}),
        (["--older-than", "959h"], REST),
        (["--all", "--kind", "features"], REST),
        (["--all", "--kind", "weights"], (REST | {STORE}) - {NPZ}),
        (["--all", "--kind", "photos"], {STORE, NPZ}),
        (["--older-than", "30d", "--kind", "photos"], REST | {STORE}),
        (["--all", "--dry-run"], REST | {STORE}),
    ],
    ids=lambda value: " ".join(sorted(value)),
)
def test_prune_removes_what_was_asked_for(words: list[str], kept: set[str], root: Path) -> None:
    said = run("prune", *words, "--yes", "--dir", root)
    assert (said.status, said.err) == (0, "")
    assert left(root) == kept
    gone = (REST | {STORE}) - kept
    verb = "would remove" if "--dry-run" in words else "removed"
    named = {line.split()[len(verb.split())] for line in said.out.splitlines()[:-1]}
    assert named == (REST | {STORE} if "--dry-run" in words else gone)
    assert not list(root.glob(f"{cache_contents.REMOVED}*"))


def test_a_script_is_to_say_yes(root: Path) -> None:
    said = run("--dir", root, "prune", "--all", stdin="y\n")
    assert said.status == 1 and said.out == ""
    assert said.err.startswith("catdog: prune would remove 6 things, 5.") and "`--yes`" in said.err
    assert left(root) == REST | {STORE}


@pytest.mark.parametrize(("answer", "removed"), [("y", True), ("", False), ("no", False)])
def test_a_person_is_asked(answer: str, removed: bool, root: Path) -> None:
    ours, theirs = os.openpty()
    os.write(ours, f"{answer}\n".encode())
    words = [sys.executable, "-m", "catdog.cache", "prune", "--all", "--dir", str(root)]
    done = subprocess.run(words, stdin=theirs, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Remove 6 things, 5." in done.stdout and "? [y/N] " in done.stdout
    assert (left(root) == set()) == removed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "one of the arguments --all --older-than is required"),
        (["--older-than", "soon"], "'soon' is no span of time: 12h, 30d or 4w"),
        (["--all", "--kind", "index"], "invalid choice: 'index'"),
    ],
)
def test_what_prune_does_not_understand(words: list[str], said: str, root: Path) -> None:
    refused = run("prune", *words, "--dir", root)
    assert refused.status == 2 and said in refused.err
    assert left(root) == REST | {STORE}


def test_what_cannot_be_removed_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(root))

    # root may remove anything, and tests may run as root
    monkeypatch.setattr(cache_removal, "remove", full)
    monkeypatch.setattr(sys, "argv", ["cache", "prune", "--all", "--yes", "--dir", str(root)])
    with pytest.raises(SystemExit, match="6 could not be removed; see who owns"):
        cache.main()


def test_what_a_killed_removal_left_is_swept_up(root: Path) -> None:
    put(root / f"{cache_contents.REMOVED}abc/rows.bin", 10)
    assert "not catdog's" not in run("--dir", root).out
    assert run("prune", "--older-than", "90d", "--yes", "--dir", root).out == "nothing to remove\n"
    assert not (root / f"{cache_contents.REMOVED}abc").exists()
    assert left(root) == REST | {STORE}


def test_what_a_killed_unpacking_left_can_be_removed(root: Path) -> None:
    put(root / f"{ZIP}.partial/cat.1.jpg", 10, OLD)
    aged(root / f"{ZIP}.partial", OLD)
    assert run("prune", "--older-than", "30d", "--yes", "--dir", root).status == 0
    assert left(root) == REST


# === what is in use ===

HOLDER = """
import sys, time
from pathlib import Path
from filelock import FileLock
from catdog.core import use_locks
how, path = sys.argv[1:]
if how == "lock":
    lock = FileLock(path)
    lock.acquire()
else:
    assert use_locks.hold(Path(path))
print("holds", flush=True)
time.sleep(60)
"""


@contextlib.contextmanager
def holder(how: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that works with something in the cache."""
    words = [sys.executable, "-c", HOLDER, how, str(path)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "holds\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("how", "path", "kept"),
    [
        ("lock", f"{STORE}/lock", STORE),
        ("lock", f"{ZIP}.lock", ZIP),
        ("hold", STORE, STORE),
        ("hold", ZIP, ZIP),
        ("hold", NPZ, NPZ),
        ("hold", "converted", "converted"),
    ],
)
def test_what_a_living_process_uses_is_kept(how: str, path: str, kept: str, root: Path) -> None:
    with holder(how, root / path) as process:
        said = run("prune", "--all", "--yes", "--dir", root)
        assert said.status == 0, said.err
        assert left(root) == {kept}
        (line,) = [line for line in said.out.splitlines() if line.startswith("kept ")]
        assert line.startswith(f"kept    {kept} (")
        by = f": in use by process {process.pid}" if use_locks.LOCKS.exists() else ": in use"
        assert line.endswith(": being written" if how == "lock" else by)
    assert run("prune", "--all", "--yes", "--dir", root).status == 0
    assert left(root) == set(), "its process has ended"


def test_holding_says_when_it_was_used(root: Path) -> None:
    assert use_locks.hold(root / STORE)
    (item,) = [item for item in cache_contents.items(root) if item.kind == "features"]
    assert time.time() - item.used < 60


def test_what_is_not_there_cannot_be_held(tmp_path: Path) -> None:
    assert not use_locks.hold(tmp_path / "none")


def test_a_thing_that_was_made_again_is_held_again(tmp_path: Path) -> None:
    for _ in range(2):
        (tmp_path / "one").mkdir()
        assert use_locks.hold(tmp_path / "one")
        assert use_locks.hold(tmp_path / "one"), "twice is no harm"
        with pytest.raises(use_locks.InUse), use_locks.claimed(tmp_path / "one"):
            pass
        (tmp_path / "one").rename(tmp_path / "away")
        (tmp_path / "away").rmdir()


WAITER = """
import sys
from pathlib import Path
from catdog.core import use_locks
print("starts", flush=True)
print(use_locks.hold(Path(sys.argv[1])), flush=True)
"""


def test_who_starts_during_a_removal_waits_and_finds_it_gone(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    words = [sys.executable, "-c", WAITER, str(tmp_path / "one")]
    with use_locks.claimed(tmp_path / "one"):
        starting = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert starting.stdout.readline() == "starts\n"
        time.sleep(0.3)
        assert starting.poll() is None
        (tmp_path / "one").rename(tmp_path / "away")
        (tmp_path / "one").mkdir()  # somebody else made it anew
    assert starting.communicate(timeout=30)[0] == "False\n"


UNPACKER = """
import os, sys, time
from pathlib import Path
from catdog.data.packed import archive
from catdog.progress import Progress
for _ in range(100):  # each round is a process of its own, which holds what it found
    if (child := os.fork()) == 0:
        folder = archive.unpack(Path(sys.argv[1]), Path(sys.argv[2]), Progress())
        time.sleep(0.002)
        whole = sum(len(file.read_bytes()) for file in (folder / "cat").iterdir()) == 20 * 7
        os._exit(0 if whole else 1)
    assert os.waitpid(child, 0)[1] == 0
"""


def test_who_starts_while_it_is_removed_makes_it_anew(tmp_path: Path) -> None:
    root, packed = tmp_path / "cache", tmp_path / "photos.zip"
    with zipfile.ZipFile(packed, "w") as archived:
        for number in range(20):
            archived.writestr(f"cat/{number}.jpg", b"7 bytes")
    words = [sys.executable, "-c", UNPACKER, str(packed), str(root)]
    removed = kept = 0
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            for item in cache_contents.items(root):
                try:
                    cache_removal.remove(root, item)
                    removed += 1
                except use_locks.InUse:
                    kept += 1
                except FileNotFoundError:
                    pass
        assert process.returncode == 0, process.stderr.read()
    assert removed > 3 and kept > 3


def test_verdicts_that_are_recalled_are_of_today(tmp_path: Path) -> None:
    put(tmp_path / "photos/cat/0.jpg")
    paths = [str(tmp_path / "photos/cat/0.jpg")]
    scan.check_all(paths, tmp_path / "cache", Progress())
    (memory,) = (tmp_path / "cache/index").iterdir()
    aged(memory, OLD)
    scan.check_all(paths, tmp_path / "cache", Progress())
    assert time.time() - memory.stat().st_mtime < 60


def test_help_loads_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "catdog.cache", "prune", "--help"]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert asked.returncode == 0 and "--older-than" in asked.stdout
    assert not re.search(r"\| +(tensorflow|keras|mlflow|optuna|numpy)$", asked.stderr, re.M)
