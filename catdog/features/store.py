"""One array on disk: a row per photo, found by the photo's hash, each row with its checksum.

``rows.bin`` holds the rows, ``index.bin`` a (SHA-256, CRC-32) record per row, written after it.
So a killed writer leaves whole rows only, the next one goes on behind them, and a row whose bytes
changed is noticed when it is looked up and written again in place. One writer at a time holds the
file lock; readers need none.
"""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock

RECORD = np.dtype([("sha256", "u1", 32), ("crc", "<u4")])
BLOCK_BYTES = 8 * 2**20
"""Rows are looked at in blocks of this size, and the pages given back after each."""


class Store:
    """Rows of one shape and dtype under one folder.

    Args:
        folder: Where the files lie; made when first written.
        shape: Shape of a row.
        dtype: NumPy dtype of a row.
    """

    def __init__(self, folder: Path, shape: Sequence[int], dtype: str) -> None:
        self.folder, self.shape, self.dtype = folder, tuple(shape), np.dtype(dtype)
        self.row_bytes = int(np.prod(self.shape)) * self.dtype.itemsize
        self._rows, self._index = folder / "rows.bin", folder / "index.bin"
        self._places: dict[bytes, int] = {}
        self._count = 0

    def lock(self) -> FileLock:
        """Return the writer's lock; the system frees it when its owner dies."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / "lock")

    def find(self, hashes: Sequence[str]) -> np.ndarray:
        """Look rows up and verify them.

        Args:
            hashes: SHA-256 of photos, as hex.

        Returns:
            (len(hashes),) int64 row numbers; -1 where there is none, or a damaged one.
        """
        records = self._records()
        places = {record.tobytes(): row for row, record in enumerate(records["sha256"])}
        rows = np.array([places.get(bytes.fromhex(h), -1) for h in hashes], np.int64)
        data = self._map()
        rows[rows >= len(data)] = -1
        for block in self._blocks(np.unique(rows[rows >= 0])):
            bad = [row for row in block if zlib.crc32(data[row]) != records["crc"][row]]
            rows[np.isin(rows, bad)] = -1
            _give_back(data)
        return rows

    def put(self, hashes: Sequence[str], values: np.ndarray) -> None:
        """Write rows; the caller holds the lock.

        Args:
            hashes: SHA-256 of photos, as hex. One that is there is written again in its place.
            values: (len(hashes), *shape).
        """
        values = np.ascontiguousarray(values, self.dtype)
        self._catch_up()
        with _open(self._rows) as rows, _open(self._index) as index:
            for sha256, value in zip(hashes, values, strict=True):
                key = bytes.fromhex(sha256)
                row = self._places.setdefault(key, self._count)
                self._count = max(self._count, row + 1)
                record = np.zeros((), RECORD)
                record["sha256"], record["crc"] = np.frombuffer(key, np.uint8), zlib.crc32(value)
                os.pwrite(rows.fileno(), value.tobytes(), row * self.row_bytes)
                os.pwrite(index.fileno(), record.tobytes(), row * RECORD.itemsize)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Copy rows out of the memory map, block by block so that its pages do not pile up.

        Args:
            rows: (n,) int64 row numbers.
        """
        data = self._map()
        out = np.empty((len(rows), *self.shape), self.dtype)
        flat = out.reshape(len(rows), data.shape[1])  # -1 fails where no row is asked for
        start = 0
        for block in self._blocks(rows):
            flat[start : start + len(block)] = data[block]
            start += len(block)
            _give_back(data)
        return out

    def _catch_up(self) -> None:
        """Learn where rows are; only records that are new, or writing n rows would cost n ** 2."""
        size = self._index.stat().st_size if self._index.exists() else 0
        if size < self._count * RECORD.itemsize:  # damaged, or removed by hand
            self._places, self._count = {}, 0
        records = self._records(self._count)
        for row, record in enumerate(records["sha256"], self._count):
            self._places[record.tobytes()] = row
        self._count += len(records)

    def _records(self, start: int = 0) -> np.ndarray:
        try:
            with self._index.open("rb") as index:
                index.seek(start * RECORD.itemsize)
                raw = index.read()
        except FileNotFoundError:
            raw = b""
        whole = len(raw) - len(raw) % RECORD.itemsize  # a killed writer may leave half a record
        return np.frombuffer(raw[:whole], RECORD)

    def _map(self) -> np.ndarray:
        width = self.row_bytes // self.dtype.itemsize
        count = self._rows.stat().st_size // self.row_bytes if self._rows.exists() else 0
        if not count:
            return np.empty((0, width), self.dtype)
        return np.memmap(self._rows, self.dtype, "r", shape=(count, width))

    def _blocks(self, rows: np.ndarray) -> list[np.ndarray]:
        size = max(1, BLOCK_BYTES // self.row_bytes)
        return [rows[i : i + size] for i in range(0, len(rows), size)]


def _open(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")


def _give_back(data: np.ndarray) -> None:
    """Drop the map's pages from this process; the system's file cache keeps them."""
    if isinstance(data, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):
        data._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
