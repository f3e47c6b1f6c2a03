"""Keeps what other code prints above the live table, and a lost terminal from ending a sweep."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

DRAW_WHOLE = "\x1b[?2026h", "\x1b[?2026l"
"""Around what a terminal shall show at once, without flicker; those that cannot ignore it."""


class Steady:
    """A stream that takes a closed pipe or a terminal that is gone without complaint.

    Args:
        file: Where it leads.
        whole: Whether a terminal shall show each text at once.
    """

    def __init__(self, file: TextIO, *, whole: bool = False) -> None:
        self._file = file
        self._before, self._after = DRAW_WHOLE if whole else ("", "")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        """Write what the stream takes; characters it has not become question marks."""
        text = f"{self._before}{text}{self._after}"
        try:
            return self._file.write(text)
        except UnicodeEncodeError:
            encoding = self._file.encoding or "ascii"
            return self._file.write(text.encode(encoding, "replace").decode(encoding))
        except (OSError, ValueError):  # a broken pipe; a closed file
            return len(text)

    def flush(self) -> None:
        """Flush, as far as there is still somebody to read it."""
        with contextlib.suppress(OSError, ValueError):
            self._file.flush()


class Above:
    """Takes the place of a terminal stream and prints its lines above what is live.

    A line that is drawn again and again after a carriage return is printed once, at its end.
    """

    def __init__(self, console: Console, file: TextIO) -> None:
        self.file, self._console = file, console
        self._line, self._lock = "", threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, text: str) -> int:
        """Print whole lines and keep the rest."""
        with self._lock:
            *lines, self._line = (self._line + str(text)).split("\n")
            self._line = self._line.rpartition("\r")[2] or self._line
        for line in lines:
            shown = line.rstrip("\r").rpartition("\r")[2]
            self._console.print(Text.from_ansi(shown), soft_wrap=True)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Do nothing: half a line would be in the way of the table."""

    def close_line(self) -> None:
        """Print what has not been ended by a newline."""
        if self._line:
            self.write("\n")


@contextlib.contextmanager
def kept_above(console: Console) -> Iterator[None]:
    """Send what goes to the terminal by stdout, stderr and logging through a console.

    Streams that lead elsewhere stay as they are.
    """
    given = {"stdout": sys.stdout, "stderr": sys.stderr}
    aboves = {name: Above(console, file) for name, file in given.items() if file and file.isatty()}
    for name, above in aboves.items():
        setattr(sys, name, above)
        _move_handlers(above.file, above)
    try:
        yield
    finally:
        for name, above in aboves.items():
            above.close_line()
            if getattr(sys, name) is above:
                setattr(sys, name, above.file)
            _move_handlers(above, above.file)  # also those that were made meanwhile


def _move_handlers(old: Any, new: Any) -> None:
    """Let logging handlers write to another stream; they hold on to the one they began with."""
    known = [logging.root, *logging.Logger.manager.loggerDict.values()]
    for logger in known:
        for handler in getattr(logger, "handlers", ()):  # placeholders have none
            if isinstance(handler, logging.StreamHandler) and handler.stream is old:
                handler.setStream(new)
