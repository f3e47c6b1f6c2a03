"""A command whose reader has gone, as ``head`` goes after its lines, ends without a traceback."""

from __future__ import annotations

import atexit
import os
import select
import sys
from types import TracebackType


def end_quietly() -> None:
    """Let this process end in silence, with exit code 1, if nobody reads its output any more."""
    if sys.excepthook is not _hook:
        sys.excepthook = _hook
        atexit.register(_flush)


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, BrokenPipeError) and _nobody_reads(1):
        _discard()
    else:
        sys.__excepthook__(kind, error, trace)


def _nobody_reads(descriptor: int) -> bool:
    """Return whether the other end of a pipe is closed; a broken one may be another's."""
    asked = select.poll()
    asked.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in asked.poll(0))


def _flush() -> None:
    """Write what is left: Python itself would complain about it after everything else."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard()


def _discard() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
