"""What Hydra returns of each trial, kept on disk: it holds two whole configurations."""

from __future__ import annotations

import tempfile
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cloudpickle
from hydra.core.utils import JobReturn


class Returned(Sequence[JobReturn]):
    """JobReturns by number of the trial; each is read when it is asked for.

    Args:
        folder: Where they are kept, in a file without a name, which no crash leaves behind.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (open as long as we are)
        self._places: dict[int, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def add(self, number: int, packed: bytes) -> None:
        """Keep a trial's JobReturn, pickled."""
        small = zlib.compress(packed, 1)  # its two configurations are much the same text
        with self._lock:
            self._places[number] = self._file.seek(0, 2), len(small)
            self._file.write(small)

    def packed(self) -> Iterator[tuple[int, bytes]]:
        """Yield the trials' numbers and JobReturns, pickled, by number."""
        for number in sorted(self._places):
            yield number, self._read(number)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._places)

    def __getitem__(self, k: Any) -> Any:
        """Return the k-th one, or those of a slice."""
        numbers = sorted(self._places)[k]
        if isinstance(k, slice):
            return [cloudpickle.loads(self._read(number)) for number in numbers]  # type: ignore[attr-defined]
        return cloudpickle.loads(self._read(numbers))  # type: ignore[arg-type]

    def _read(self, number: int) -> bytes:
        with self._lock:
            place, size = self._places[number]
            self._file.seek(place)
            return zlib.decompress(self._file.read(size))
