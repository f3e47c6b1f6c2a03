"""Output that nobody reads to its end, as by ``| head -1``: no error, and no traceback."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def may_close() -> Iterator[None]:
    """End the process quietly, with exit code 1, if the reader of its output has gone.

    A broken pipe of any other kind passes.
    """
    try:
        yield
        sys.stdout.flush()  # or Python does it at its end, where it can only complain
    except BrokenPipeError:
        if not _reader_gone():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _reader_gone() -> bool:
    polled = select.poll()
    polled.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in polled.poll(0))
