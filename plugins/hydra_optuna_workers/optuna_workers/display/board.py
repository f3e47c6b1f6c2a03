"""What a person sees while a sweep runs: a live table, or plain lines where it is no terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO, cast

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from optuna_workers.display.snapshot import Finished, Snapshot
from optuna_workers.display.streams import Steady, kept_above
from optuna_workers.display.table import (
    FRONT,
    STYLES,
    clean,
    duration,
    live,
    numbers,
    params,
    states,
)

QUIET = 10.0
"""Seconds between two lines on what one trial is doing, where there is no terminal."""


class Board:
    """Shows a study as it goes on; a context manager that closes with the best trial.

    Args:
        name: The study's.
        directions: One per objective.
        stream: Where to write; stderr leaves stdout to the task.
        live: Whether a table may be drawn. Set it to False where other processes or a debugger
            write to the same terminal.
    """

    def __init__(
        self,
        name: str,
        directions: Sequence[str],
        stream: TextIO | None = None,
        *,
        live: bool = True,
    ) -> None:
        stream = stream or sys.stderr
        self._name, self._directions = name, directions
        self._shown = Snapshot(0, {})
        self._begun = time.monotonic()
        self._said: dict[int, tuple[float, str]] = {}
        terminal = stream.isatty()  # rich would take FORCE_COLOR for a terminal
        draws = os.environ.get("TERM", "") not in ("", "dumb", "unknown")
        self._table = live and terminal and draws
        steady = cast(TextIO, Steady(stream, whole=self._table))
        self._console = Console(file=steady, highlight=False, force_terminal=terminal)
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Board:
        if self._table:
            table = Live(
                console=self._console, refresh_per_second=4, transient=True,
                get_renderable=self._draw, redirect_stdout=False, redirect_stderr=False,
            )  # fmt: skip
            self._open.enter_context(kept_above(self._console))
            self._open.enter_context(table)
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.close()
        if self._shown.total:
            for line in self._closing():
                self._print(line)

    def note(self, text: str) -> None:
        """Print one line."""
        self._print(Text(text, "dim"))

    def finished(self, trial: Finished) -> None:
        """Print how a trial ended."""
        self._said.pop(trial.number, None)
        line = Text(f"trial {trial.number} ")
        line.append(trial.state, STYLES.get(trial.state, ""))
        if trial.values:
            line.append(f" {numbers(trial.values)}")
        if trial.duplicate_of is None:
            line.append(f" in {duration(trial.seconds)}")
        else:
            line.append(f" as trial {trial.duplicate_of}, which had the same parameters")
        line.append(f"  {params(trial.params)}", "dim")
        if trial.state == "FAIL":
            reason = (trial.message.strip().splitlines() or ["no reason known"])[-1]
            line.append(f"\n    {clean(reason)}\n    {_log_of(trial)}")
        self._print(line)

    def update(self, snapshot: Snapshot) -> None:
        """Show a new state of affairs."""
        self._shown = snapshot
        if not self._table:
            self._speak(snapshot)

    def _speak(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        for trial in snapshot.running:
            when, text = self._said.setdefault(trial.number, (now, ""))
            if trial.status and trial.status != text and now - when >= QUIET:
                self._said[trial.number] = (now, trial.status)
                self.note(f"trial {trial.number}: {clean(trial.status)}")

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)

    def _draw(self) -> RenderableType:
        gone, left = time.monotonic() - self._begun, self._shown.seconds_left
        clock = duration(gone) + (f", about {duration(left)} left" if left else "")
        return live(self._name, self._shown, clock, self._console.size)

    def _closing(self) -> list[Text]:
        shown, gone = self._shown, duration(time.monotonic() - self._begun)
        head = Text.assemble(
            (self._name, "bold"), f": {shown.done} of {shown.total} trials in {gone}  ",
            states(shown.counts),
        )  # fmt: skip
        several = len(self._directions) > 1
        front = f"Pareto front ({', '.join(self._directions)}): {len(shown.best)} trials"
        lines = [head, Text(front)] if several and shown.best else [head]
        for trial in list(shown.best)[:FRONT]:
            lines.append(
                Text.assemble(
                    "  " if several else "best ", (numbers(trial.values or ()), "bold green"),
                    f"  trial {trial.number}  {params(trial.params, exact=True)}",
                )
            )  # fmt: skip
        more = len(shown.best) - FRONT
        return [*lines, Text(f"  and {more} more")] if more > 0 else lines


def _log_of(trial: Finished) -> str:
    """Return where to read more of a trial: its output, if it was kept in a file on this disk."""
    output = Path(trial.directory) / "output.log"
    return str(output) if output.is_file() else trial.directory
