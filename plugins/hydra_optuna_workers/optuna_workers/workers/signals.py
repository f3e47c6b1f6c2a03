"""One end for all that ask a process to end: Ctrl-C, SIGTERM, and SIGHUP of a closed terminal.

Runs in child processes before ``sys.path`` is set, so it imports only the standard library.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator

PATIENCE = 20.0
"""Seconds that tidying up is not disturbed by a second signal."""

DEFERRED = 5.0
"""Seconds for which a step that must be whole is finished first."""

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Ending:
    """Raises KeyboardInterrupt at the first signal only: a second must not end the tidying up."""

    def __init__(self) -> None:
        self.told = float("-inf")  # when the signal came that was raised
        self.asked: float | None = None  # when the one came that waits for the end of a step
        self.steps = 0

    def __call__(self, number: int, frame: object) -> None:
        now = time.monotonic()
        if now - self.told < PATIENCE:
            return
        if self.steps:
            self.asked = now if self.asked is None else self.asked
            if now - self.asked < DEFERRED:
                return
        self.raised(now)

    def raised(self, now: float) -> None:
        self.told, self.asked = now, None
        raise KeyboardInterrupt


_ending = _Ending()


def handle() -> dict[signal.Signals, object]:
    """Take all three as Ctrl-C, but for those that are ignored (nohup) or the application's own.

    Returns:
        The handlers before.
    """
    before: dict[signal.Signals, object] = {}
    for number in NUMBERS:
        known = signal.getsignal(number)
        if known in (signal.SIG_DFL, signal.default_int_handler):
            before[number] = signal.signal(number, _ending)
    return before


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Take all three as Ctrl-C as long as the block runs."""
    before = handle() if threading.current_thread() is threading.main_thread() else {}
    try:
        yield
    finally:
        for number, known in before.items():
            signal.signal(number, known)  # type: ignore[arg-type]


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Finish a short step first, such as a row and the note that it is there; then raise."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return
    _ending.steps += 1
    try:
        yield
    finally:
        _ending.steps -= 1
    if _ending.asked is not None and not _ending.steps:
        _ending.raised(time.monotonic())
