"""Store: a row that is found is the row that was written, even after damage or a killed writer."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from catdog.features.store import RECORD, Store

COUNT, SHAPE = 7, (3, 2)
HASHES = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(1000)]

WRITER = """
import hashlib, sys, time
from pathlib import Path
import numpy as np
from catdog.features.store import Store

folder, start, stop, pause = Path(sys.argv[1]), *map(float, sys.argv[2:])
store = Store(folder, (5000,), "float32")
print("ready", flush=True)
for i in range(int(start), int(stop)):
    with store.lock():
        name = hashlib.sha256(str(i).encode()).hexdigest()
        store.put([name], np.full((1, 5000), i, np.float32))
    time.sleep(pause)
"""


def value(i: int) -> np.ndarray:
    return np.full(SHAPE, i, np.float32) + np.arange(6, dtype=np.float32).reshape(SHAPE) / 8


def values(count: int) -> np.ndarray:
    return np.stack([value(i) for i in range(count)])


def filled(folder: Path, count: int = COUNT) -> Store:
    store = Store(folder, SHAPE, "float32")
    store.put(HASHES[:count], values(count))
    return store


@contextmanager
def scratch() -> Iterator[Path]:
    """A new folder for each example: hypothesis runs many in one test."""
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def missing_or_right(folder: Path, count: int = COUNT) -> list[int]:
    """Check that no row is wrong; return those that are missing."""
    store = Store(folder, SHAPE, "float32")
    rows = store.find(HASHES[:count])
    there = np.flatnonzero(rows >= 0)
    np.testing.assert_array_equal(store.read(rows[there]), values(count)[there])
    return np.flatnonzero(rows < 0).tolist()


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["float16", "float32"]),
    st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple),
    st.integers(0, 9),
    st.data(),
)
def test_rows_come_back_as_they_were_put(
    dtype: str, shape: tuple[int, ...], count: int, data: st.DataObject
) -> None:
    held = data.draw(arrays.arrays(dtype, (count, *shape)))
    order = data.draw(st.permutations(range(count)))
    with scratch() as folder:
        store = Store(folder / "new", shape, dtype)
        assert store.find(HASHES[:count]).tolist() == [-1] * count
        with store.lock():
            store.put(HASHES[:count], held)
        again = Store(folder / "new", shape, dtype)
        rows = again.find([HASHES[i] for i in order])
        read = again.read(rows)
        assert (read.dtype, read.shape) == (held.dtype, held.shape)
        assert read.tobytes() == held[order].tobytes()  # bytes, because NaN is no equal of itself
        assert again.find([HASHES[99]]).tolist() == [-1]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(0, 12), max_size=5), max_size=6))
def test_puts_in_any_order_and_twice_are_one_row_each(puts: list[list[int]]) -> None:
    with scratch() as folder:
        writers = [Store(folder, SHAPE, "float32") for _ in range(2)]
        for store, some in zip(itertools.cycle(writers), puts, strict=False):
            store.put(
                [HASHES[i] for i in some], np.reshape([value(i) for i in some], (-1, *SHAPE))
            )
        put = {i for some in puts for i in some}
        assert set(range(13)) - set(missing_or_right(folder, 13)) == put
        if put:
            assert (folder / "index.bin").stat().st_size == len(put) * RECORD.itemsize


def test_two_writers_in_turn_see_each_others_rows(tmp_path: Path) -> None:
    first, second = (Store(tmp_path, SHAPE, "float32") for _ in range(2))
    for i, store in enumerate((first, second, first, second)):
        store.put(HASHES[i : i + 1], values(4)[i : i + 1])
    rows = Store(tmp_path, SHAPE, "float32").find(HASHES[:4])
    assert sorted(rows) == [0, 1, 2, 3]
    np.testing.assert_array_equal(first.read(rows), values(4))


def test_the_same_photo_twice_is_the_same_row_twice(tmp_path: Path) -> None:
    rows = filled(tmp_path).find([HASHES[2], HASHES[2]])
    assert rows[0] == rows[1] >= 0


def test_no_rows_are_no_problem(tmp_path: Path) -> None:
    assert filled(tmp_path).find([]).shape == (0,)
    assert filled(tmp_path).read(np.array([], np.int64)).shape == (0, *SHAPE)


def test_blocks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catdog.features.store.BLOCK_BYTES", 50)  # two rows
    filled(tmp_path)
    assert missing_or_right(tmp_path) == []


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(["rows.bin", "index.bin"]), st.floats(0, 1), st.integers(1, 255))
def test_a_flipped_byte_anywhere_is_noticed_and_put_repairs_it(
    name: str, where: float, flip: int
) -> None:
    with scratch() as folder:
        filled(folder)
        held = bytearray((folder / name).read_bytes())
        at = min(int(where * len(held)), len(held) - 1)
        held[at] ^= flip
        (folder / name).write_bytes(held)
        width = 24 if name == "rows.bin" else RECORD.itemsize
        lost = missing_or_right(folder)
        assert lost == [at // width]
        Store(folder, SHAPE, "float32").put([HASHES[i] for i in lost], values(COUNT)[lost])
        assert missing_or_right(folder) == []


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(["rows.bin", "index.bin"]), st.integers(0, COUNT * RECORD.itemsize))
def test_a_file_cut_at_any_length_loses_its_end_only(name: str, length: int) -> None:
    with scratch() as folder:
        filled(folder)
        path = folder / name
        path.write_bytes(path.read_bytes()[:length])
        width = 24 if name == "rows.bin" else RECORD.itemsize
        lost = list(range(min(COUNT, length // width), COUNT))
        assert missing_or_right(folder) == lost
        Store(folder, SHAPE, "float32").put([HASHES[i] for i in lost], values(COUNT)[lost])
        assert missing_or_right(folder) == []


@pytest.mark.parametrize("name", ["rows.bin", "index.bin"])
def test_a_lost_file_is_all_missing(tmp_path: Path, name: str) -> None:
    filled(tmp_path)
    (tmp_path / name).unlink()
    assert missing_or_right(tmp_path) == list(range(COUNT))
    filled(tmp_path)
    assert missing_or_right(tmp_path) == []


def test_a_page_of_zeros_is_noticed(tmp_path: Path) -> None:
    filled(tmp_path)
    for name in ("rows.bin", "index.bin"):
        path = tmp_path / name
        held = path.read_bytes()
        path.write_bytes(bytes(60) + held[60:])
    assert missing_or_right(tmp_path) == [0, 1, 2]


def test_half_a_record_is_written_over(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    with (tmp_path / "index.bin").open("ab") as index:
        index.write(bytes.fromhex(HASHES[3])[:20])
    with (tmp_path / "rows.bin").open("ab") as rows:
        rows.write(value(3).tobytes()[:11])
    assert missing_or_right(tmp_path, 4) == [3]
    Store(tmp_path, SHAPE, "float32").put([HASHES[3]], value(3)[None])
    assert missing_or_right(tmp_path, 4) == []
    assert (tmp_path / "rows.bin").stat().st_size == 4 * 24


def test_a_repair_is_in_place(tmp_path: Path) -> None:
    store = filled(tmp_path)
    sizes = [(tmp_path / name).stat().st_size for name in ("rows.bin", "index.bin")]
    before = store.find(HASHES[:COUNT])
    store.put(HASHES[2:4], values(COUNT)[2:4])
    assert [(tmp_path / name).stat().st_size for name in ("rows.bin", "index.bin")] == sizes
    np.testing.assert_array_equal(store.find(HASHES[:COUNT]), before)


def writing(folder: Path, start: int, stop: int, pause: float) -> subprocess.Popen[str]:
    words = [str(folder), str(start), str(stop), str(pause)]
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, *words], stdout=subprocess.PIPE, text=True
    )


def found_right(folder: Path) -> int:
    """Check every row that a reader finds; return how many there are."""
    store = Store(folder, (5000,), "float32")
    rows = store.find(HASHES)
    there = np.flatnonzero(rows >= 0)
    read = store.read(rows[there])
    assert (read == there[:, None]).all()
    return len(there)


def test_a_reader_beside_a_writer_never_sees_half_a_row(tmp_path: Path) -> None:
    writer = writing(tmp_path, 0, 120, 0.003)
    seen = []
    try:
        assert writer.stdout.readline() == "ready\n"
        while writer.poll() is None:
            seen.append(found_right(tmp_path))
    finally:
        writer.kill()
        writer.communicate()
    assert found_right(tmp_path) == 120
    assert seen == sorted(seen)
    assert len(set(seen)) > 1  # it did look while the other wrote


def test_two_writers_share_the_store(tmp_path: Path) -> None:
    writers = [writing(tmp_path, 0, 60, 0.001), writing(tmp_path, 30, 90, 0.001)]
    for writer in writers:
        writer.communicate(timeout=60)
    assert found_right(tmp_path) == 90
    assert (tmp_path / "index.bin").stat().st_size == 90 * RECORD.itemsize


def test_a_killed_writer_leaves_whole_rows_and_a_free_lock(tmp_path: Path) -> None:
    chance, done, index = random.Random(0), 0, tmp_path / "index.bin"
    for _ in range(4):
        writer = writing(tmp_path, done, 1000, 0)
        wanted = (done + chance.randint(3, 40)) * RECORD.itemsize
        while not index.exists() or index.stat().st_size < wanted:
            assert writer.poll() is None
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
        assert found_right(tmp_path) * RECORD.itemsize >= wanted
        done = found_right(tmp_path)
    store = Store(tmp_path, (5000,), "float32")
    with store.lock().acquire(timeout=1):
        store.put([HASHES[done]], np.full((1, 5000), done, np.float32))
    assert found_right(tmp_path) == done + 1


# === what the checksum covers ===


def exchanged(folder: Path, field: str, one: int = 1, other: int = 4) -> None:
    """Exchange a part of two records of the index."""
    path = folder / "index.bin"
    records = np.frombuffer(bytearray(path.read_bytes()), RECORD)
    records[field][[one, other]] = records[field][[other, one]]
    path.write_bytes(records.tobytes())


@pytest.mark.parametrize("field", ["sha256", "crc"])
def test_exchanged_records_are_noticed_and_mended(tmp_path: Path, field: str) -> None:
    filled(tmp_path)
    exchanged(tmp_path, field)
    lost = missing_or_right(tmp_path)
    assert lost == [1, 4]
    Store(tmp_path, SHAPE, "float32").put([HASHES[i] for i in lost], values(COUNT)[lost])
    assert missing_or_right(tmp_path) == []


def test_rows_of_another_store_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    filled(tmp_path / "one")
    other = Store(tmp_path / "other", SHAPE, "float32")
    other.folder.mkdir()
    other.put(HASHES[:COUNT], values(COUNT) + 1)
    for name in ("rows.bin", "index.bin"):
        shutil.copy(tmp_path / "other" / name, tmp_path / "one" / name)
    assert missing_or_right(tmp_path / "one") == list(range(COUNT))


def earlier(folder: Path) -> None:
    """Give a store the checksums that the earlier format has, which cover the row only."""
    records = np.frombuffer(bytearray((folder / "index.bin").read_bytes()), RECORD)
    rows = np.frombuffer((folder / "rows.bin").read_bytes(), np.uint8).reshape(len(records), -1)
    records["crc"] = [zlib.crc32(row) for row in rows]
    (folder / "index.bin").write_bytes(records.tobytes())


def test_rows_of_the_earlier_format_are_accepted_only_where_asked(tmp_path: Path) -> None:
    filled(tmp_path)
    earlier(tmp_path)
    before = (tmp_path / "index.bin").read_bytes()
    found = Store(tmp_path, SHAPE, "float32", earlier=True).find(HASHES[:COUNT])
    assert found.tolist() == list(range(COUNT))
    assert (tmp_path / "index.bin").read_bytes() == before
    assert missing_or_right(tmp_path) == list(range(COUNT))


def test_what_is_forgotten_is_the_earlier_format_only(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    earlier(tmp_path)
    store = Store(tmp_path, SHAPE, "float32", earlier=True)
    store.put(HASHES[3:5], values(5)[3:])
    store.forget_earlier()
    assert store.find(HASHES[:5]).tolist() == [-1, -1, -1, 3, 4]
