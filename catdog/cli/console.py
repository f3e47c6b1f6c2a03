"""What commands show on stderr: progress bars, notes and errors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from optuna_workers.masking import without_password
from optuna_workers.shown import shown, shown_lines
from rich.console import Console as RichConsole
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from catdog.progress import Advance, Progress


def out() -> RichConsole:
    """Return what prints results on stdout: as wide as a terminal; elsewhere lines stay whole."""
    return RichConsole(width=None if sys.stdout.isatty() else 200, highlight=False)


class Console(Progress):
    """Shows progress on stderr, as bars in a terminal and as lines of text elsewhere."""

    def __init__(self) -> None:
        self._err = RichConsole(stderr=True, highlight=False)

    @contextmanager
    def track(self, stage: str, total: int) -> Iterator[Advance]:
        """Show a bar for a stage, which stays on the screen when the stage is done."""
        columns = (
            TextColumn("{task.description:<24}", markup=False),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True, compact=True),
            TextColumn("[dim]{task.fields[text]}"),
        )
        with Bars(*columns, console=self._err) as bars:
            task = bars.add_task(stage, total=total, text="")

            def advance(count: int = 1, text: str = "") -> None:
                fields: dict[str, Any] = {"text": escape(shown(text))} if text else {}
                bars.update(task, advance=count, **fields)

            yield advance

    def note(self, message: str) -> None:
        """Print one line."""
        line = shown_lines(without_password(message))
        self._err.print(line, style="dim", soft_wrap=True, markup=False)


def print_error(message: str) -> None:
    """Print an error on stderr as one message.

    Args:
        message: What is wrong, and the fix.
    """
    sys.stderr.write(f"catdog: {shown_lines(without_password(message))}\n")


def text(value: object, style: str = "") -> Text:
    r"""Return a name or a value for a table: without markup, escape codes and line breaks.

    Example:
        >>> text("cat\x1b[31m [bold]").plain
        'cat\\x1b[31m [bold]'
    """
    return Text(shown(value), style)
