"""What a person sees while a sweep runs: a live table, or plain lines where it is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

QUIET = 10.0
"""Seconds between two lines on what one trial is doing, where there is no terminal."""

ENDED = ("COMPLETE", "PRUNED", "FAIL")
STYLES = {"COMPLETE": "green", "PRUNED": "yellow", "FAIL": "red"}
FRONT = 5
"""Most trials of a Pareto front that are shown."""


@dataclass(frozen=True)
class Running:
    """A trial that runs."""

    number: int
    worker: str
    params: Mapping[str, Any]
    seconds: float
    status: str


@dataclass(frozen=True)
class Finished:
    """A trial that has ended."""

    number: int
    state: str
    values: list[float] | None
    params: Mapping[str, Any]
    seconds: float
    message: str = ""
    directory: str = ""
    duplicate_of: int | None = None


@dataclass(frozen=True)
class Snapshot:
    """A study at one moment.

    Attributes:
        total: Slots.
        counts: Slots by state.
        running: Trials that run, on every machine.
        best: The best trial, or the Pareto front.
        seconds_left: An estimate, or None before the first trial has ended.
    """

    total: int
    counts: Mapping[str, int]
    running: Sequence[Running] = ()
    best: Sequence[Finished] = ()
    seconds_left: float | None = None

    @property
    def done(self) -> int:
        """Return how many slots have ended."""
        return sum(self.counts.get(state, 0) for state in ENDED)


@dataclass
class Board:
    """Shows a study as it goes on.

    Args:
        name: The study's.
        directions: One per objective.
        stream: Where to write; stderr leaves stdout to the task.
    """

    name: str
    directions: Sequence[str]
    stream: TextIO = field(default_factory=lambda: sys.stderr)

    def __post_init__(self) -> None:
        self._shown = Snapshot(0, {})
        self._begun = time.monotonic()
        self._said: dict[int, tuple[float, str]] = {}
        self._console = Console(file=self.stream, highlight=False)
        self._live = Live(
            console=self._console, auto_refresh=True, refresh_per_second=2, transient=True,
            get_renderable=self._draw,
        )  # fmt: skip

    def __enter__(self) -> Board:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._console.is_terminal:
            self._live.stop()
        self._console.print(self._closing())

    def note(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, style="dim", markup=False, soft_wrap=True)

    def finished(self, trial: Finished) -> None:
        """Print how a trial ended."""
        line = Text(f"trial {trial.number} ")
        line.append(trial.state, STYLES.get(trial.state, ""))
        if trial.values:
            line.append(f" {_numbers(trial.values)}")
        if trial.duplicate_of is None:
            line.append(f" in {_time(trial.seconds)}")
        else:
            line.append(f" as trial {trial.duplicate_of}, which had the same values")
        line.append(f"  {_params(trial.params)}", "dim")
        if trial.state == "FAIL":
            reason = (trial.message.strip().splitlines() or ["no reason known"])[-1]
            line.append(f"\n    {reason}\n    {trial.directory}/output.log")
        self._console.print(line, soft_wrap=True)

    def update(self, snapshot: Snapshot) -> None:
        """Show a new state of affairs."""
        self._shown = snapshot
        if not self._console.is_terminal:
            self._speak(snapshot)

    def _speak(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        for trial in snapshot.running:
            when, text = self._said.get(trial.number, (now, ""))
            self._said.setdefault(trial.number, (now, ""))
            if trial.status and trial.status != text and now - when >= QUIET:
                self._said[trial.number] = (now, trial.status)
                self.note(f"trial {trial.number}: {trial.status}")

    # the live table

    def _draw(self) -> RenderableType:
        shown = self._shown
        head = Table.grid(padding=(0, 1))
        head.add_row(
            Text(self.name, "bold"),
            ProgressBar(total=max(shown.total, 1), completed=shown.done, width=24),
            Text(f"{shown.done}/{shown.total}"),
            _states(shown.counts),
            Text(self._clock(), "dim"),
        )
        rows = Table.grid(padding=(0, 2))
        for trial in shown.running:
            rows.add_row(
                f"  trial {trial.number}", _time(trial.seconds), Text(_params(trial.params)),
                Text(trial.status, "dim"),
            )  # fmt: skip
        return Group(head, rows, *self._bests())

    def _clock(self) -> str:
        gone, left = time.monotonic() - self._begun, self._shown.seconds_left
        return _time(gone) + (f", about {_time(left)} left" if left is not None else "")

    def _bests(self) -> list[Text]:
        lines = [
            Text.assemble(
                ("  best ", "bold"), _numbers(trial.values or ()), f"  trial {trial.number}  ",
                (_params(trial.params), "dim"),
            )
            for trial in list(self._shown.best)[:FRONT]
        ]  # fmt: skip
        more = len(self._shown.best) - FRONT
        return [*lines, Text(f"  and {more} more on the Pareto front")] if more > 0 else lines

    def _closing(self) -> RenderableType:
        shown = self._shown
        head = Text.assemble(
            (self.name, "bold"), f": {shown.done} of {shown.total} trials in ",
            _time(time.monotonic() - self._begun), "  ", _states(shown.counts),
        )  # fmt: skip
        return Group(head, *self._bests())


def _states(counts: Mapping[str, int]) -> Text:
    names = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}
    parts = [
        (f"{counts[state]} {name} ", STYLES.get(state, "cyan"))
        for state, name in names.items()
        if counts.get(state)
    ]
    return Text.assemble(*parts)


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.5g}" for value in values)


def _params(params: Mapping[str, Any]) -> str:
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in params.items()
    )


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
