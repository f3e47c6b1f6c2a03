"""The feature store's files: one row per photo, found by the photo's hash, with a checksum.

``rows.bin`` holds the rows. ``index.bin`` holds a (SHA-256, CRC-32) record per row, written after
the row. So the index of a killed writer lists only complete rows, and the next writer appends to
them. The checksum covers the name of the store's folder, the photo's hash and the row: a row that
changed, or that lies in another store or under another photo, is noticed when it is looked up, and
is then written again in its place. Writers take a file lock, one at a time; readers need none.
"""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock

from catdog.core import links

RECORD = np.dtype([("sha256", "u1", 32), ("crc", "<u4")])
"""One record of ``index.bin``: the photo's hash and the CRC-32."""

BLOCK_BYTES = 8 * 2**20
"""Rows are read in blocks of this size; the memory pages of each are freed before the next."""


class Store:
    """An array of rows on disk, found by the photo's hash.

    Args:
        folder: The folder of the files; made when it is first locked. Its name is part of every
            checksum.
        shape: Shape of a row.
        dtype: NumPy dtype of a row.
        earlier: Whether to accept rows of an earlier format, whose checksum covers the row only.

    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()), (2,), "float32")
    >>> with store.lock():
    ...     store.put(["ab" * 32], np.array([[1.0, 2.0]]))
    >>> rows = store.find(["ab" * 32, "cd" * 32])
    >>> rows.tolist()
    [0, -1]
    >>> store.read(rows[:1]).tolist()
    [[1.0, 2.0]]
    """

    def __init__(
        self, folder: Path, shape: Sequence[int], dtype: str, *, earlier: bool = False
    ) -> None:
        self.folder, self.shape, self.dtype = folder, tuple(shape), np.dtype(dtype)
        self.earlier, self._seed = earlier, zlib.crc32(folder.name.encode())
        self.row_bytes = int(np.prod(self.shape)) * self.dtype.itemsize
        self._rows, self._index = folder / "rows.bin", folder / "index.bin"
        self._places: dict[bytes, int] = {}
        self._count = 0

    def lock(self) -> FileLock:
        """Return the writers' lock; the operating system releases it when its owner dies.

        Raises:
            DataError: its file is a link.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        return links.lock(self.folder / "lock")

    def find(self, hashes: Sequence[str]) -> np.ndarray:
        """Find the rows of photos and verify their checksums.

        Args:
            hashes: SHA-256 of each photo, as hexadecimal digits.

        Returns:
            (len(hashes),) int64 row numbers; -1 where the row is missing or damaged.

        Raises:
            DataError: one of the store's files is a link, or no regular file.
        """
        records = self._records()
        places = {record.tobytes(): row for row, record in enumerate(records["sha256"])}
        rows = np.array([places.get(bytes.fromhex(h), -1) for h in hashes], np.int64)
        data = self._map()
        rows[rows >= len(data)] = -1
        for block in self._blocks(np.unique(rows[rows >= 0])):
            rows[np.isin(rows, self._wrong(block, data, records, earlier=self.earlier))] = -1
        return rows

    def put(self, hashes: Sequence[str], values: np.ndarray) -> None:
        """Write rows. The caller holds the lock.

        Args:
            hashes: SHA-256 of each photo, as hexadecimal digits. A row that exists already is
                written again in its place.
            values: (len(hashes), *shape), converted to the store's dtype.

        Raises:
            DataError: one of the store's files is a link, or no regular file.
        """
        values = np.ascontiguousarray(values, self.dtype)
        self._update_places()
        with _writable(self._rows) as rows, _writable(self._index) as index:
            for sha256, value in zip(hashes, values, strict=True):
                key = bytes.fromhex(sha256)
                row = self._places.setdefault(key, self._count)
                self._count = max(self._count, row + 1)
                record = np.zeros((), RECORD)
                record["sha256"] = np.frombuffer(key, np.uint8)
                record["crc"] = self._checksum(key, value)
                os.pwrite(rows, value.tobytes(), row * self.row_bytes)
                os.pwrite(index, record.tobytes(), row * RECORD.itemsize)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Copy rows from the memory map, in blocks, so that its pages do not fill the memory.

        Args:
            rows: (n,) int64 row numbers, from ``find``.

        Returns:
            (n, *shape) of the store's dtype.
        """
        data = self._map()
        out = np.empty((len(rows), *self.shape), self.dtype)
        flat = out.reshape(len(rows), data.shape[1])  # not -1, which fails for zero rows
        start = 0
        for block in self._blocks(rows):
            flat[start : start + len(block)] = data[block]
            start += len(block)
            _free_pages(data)
        return out

    def forget_earlier(self) -> None:
        """Make rows count as damaged if their checksum does not name the store and the photo.

        The caller holds the lock, and knows that the rows may be another store's.
        """
        records, data = self._records(), self._map()
        offset = RECORD.fields["crc"][1]  # type: ignore[index]
        with _writable(self._index) as index:
            for block in self._blocks(np.arange(min(len(records), len(data)))):
                for row in self._wrong(block, data, records, earlier=False):
                    os.pwrite(index, bytes(4), row * RECORD.itemsize + offset)

    def _wrong(
        self, block: np.ndarray, data: np.ndarray, records: np.ndarray, *, earlier: bool
    ) -> list[int]:
        """Return the rows of a block whose checksum is wrong."""
        wrong = []
        for row in block:
            value, record = data[row], records[row]
            right = self._checksum(record["sha256"].tobytes(), value) == record["crc"]
            if not (right or (earlier and zlib.crc32(value) == record["crc"])):
                wrong.append(int(row))
        _free_pages(data)
        return wrong

    def _checksum(self, key: bytes, value: np.ndarray) -> int:
        return zlib.crc32(value.data, zlib.crc32(key, self._seed))

    def _update_places(self) -> None:
        """Read the new index records only: reading all each time would cost n ** 2 for n rows."""
        size = self._index.stat().st_size if self._index.exists() else 0
        if size < self._count * RECORD.itemsize:  # damaged or deleted
            self._places, self._count = {}, 0
        records = self._records(self._count)
        for row, record in enumerate(records["sha256"], self._count):
            self._places[record.tobytes()] = row
        self._count += len(records)

    def _records(self, start: int = 0) -> np.ndarray:
        try:
            with os.fdopen(links.open_plain(self._index), "rb") as index:
                index.seek(start * RECORD.itemsize)
                raw = index.read()
        except FileNotFoundError:
            raw = b""
        whole = len(raw) - len(raw) % RECORD.itemsize  # a killed writer may leave half a record
        return np.frombuffer(raw[:whole], RECORD)

    def _map(self) -> np.ndarray:
        width = self.row_bytes // self.dtype.itemsize
        try:
            with os.fdopen(links.open_plain(self._rows), "rb") as rows:
                count = os.fstat(rows.fileno()).st_size // self.row_bytes
                if count:
                    return np.memmap(rows, self.dtype, "r", shape=(count, width))
        except FileNotFoundError:
            pass
        return np.empty((0, width), self.dtype)

    def _blocks(self, rows: np.ndarray) -> list[np.ndarray]:
        size = max(1, BLOCK_BYTES // self.row_bytes)
        return [rows[i : i + size] for i in range(0, len(rows), size)]


@contextmanager
def _writable(path: Path) -> Iterator[int]:
    """Yield the descriptor of a file, which is made if it is missing."""
    descriptor = links.open_plain(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _free_pages(data: np.ndarray) -> None:
    """Remove the map's pages from this process; the operating system's file cache keeps them."""
    if isinstance(data, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):
        data._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
