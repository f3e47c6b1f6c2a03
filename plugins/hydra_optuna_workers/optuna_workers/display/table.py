"""What the live table looks like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from optuna_workers.display.snapshot import Finished, Running, Snapshot

NAMES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}
STYLES = {"COMPLETE": "green", "PRUNED": "yellow", "FAIL": "red", "RUNNING": "cyan"}
FRONT = 5
"""Most trials of a Pareto front that are shown."""

FRAME = 11
"""Lines of the table that are not rows of trials."""

NARROW = 76
"""Columns below which the counts get a line of their own."""


@dataclass(frozen=True)
class Bar:
    """Slots as a bar, coloured by how they ended; also readable without colours."""

    total: int
    counts: Mapping[str, int]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        ended, rest = ("#", "-") if options.ascii_only else ("━", "─")
        width, total = options.max_width, max(self.total, 1)
        begin = slots = 0
        for state, style in STYLES.items():
            slots += self.counts.get(state, 0)
            end = min(width, round(width * slots / total))
            sign = rest if state == "RUNNING" else ended
            yield Segment(sign * (end - begin), Style.parse(style))
            begin = end
        yield Segment(rest * (width - begin), Style.parse("bright_black"))


def live(name: str, shown: Snapshot, clock: str, size: tuple[int, int]) -> RenderableType:
    """Return the table of a study that runs.

    Args:
        name: The study's.
        shown: Its state.
        clock: Time gone and left, in words.
        size: Columns and lines of the terminal.
    """
    width, height = size
    room = max(1, height - FRAME - min(len(shown.best), FRONT))
    parts: list[RenderableType] = list(_progress(shown, width))
    if shown.running or shown.best:
        parts += [Text(), _trials(shown, room, width - 4)]
    if len(shown.running) > room:
        parts.append(Text(f"and {len(shown.running) - room} more running", "dim"))
    if len(shown.best) > FRONT:
        parts.append(Text(f"and {len(shown.best) - FRONT} more on the Pareto front", "dim"))
    return Panel(
        Group(*parts), title=Text(name, "bold"), title_align="left", subtitle=Text(clock),
        subtitle_align="right", border_style="bright_black", padding=(0, 1),
    )  # fmt: skip


def _progress(shown: Snapshot, width: int) -> Iterator[RenderableType]:
    done, bar = Text(f"{shown.done}/{shown.total}", "bold"), Bar(shown.total, shown.counts)
    line = Table.grid(padding=(0, 2), expand=True)
    line.add_column(ratio=1, min_width=8)
    line.add_column(no_wrap=True)
    if width < NARROW:
        line.add_row(bar, done)
        yield from (line, states(shown.counts))
    else:
        line.add_column(no_wrap=True)
        line.add_row(bar, done, states(shown.counts))
        yield line


def states(counts: Mapping[str, int]) -> Text:
    """Return the counts of a study's states in words."""
    found = [
        Text(f"{counts[state]} {name}", STYLES[state])
        for state, name in NAMES.items()
        if counts.get(state)
    ]
    return Text("  ").join(found)


def _trials(shown: Snapshot, room: int, width: int) -> Table:
    running, best = list(shown.running)[:room], list(shown.best)[:FRONT]
    heads = _heads([one.params for one in running] + [one.params for one in best], width)
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, expand=True, padding=(0, 1), header_style="dim"
    )
    table.add_column("trial", no_wrap=True)
    table.add_column("time", no_wrap=True, justify="right")
    for head in heads.values() if heads else ["parameters"]:
        table.add_column(Text(head), no_wrap=True, overflow="ellipsis")
    table.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
    for trial in running:
        status = Text(clean(trial.status) or "starts", "cyan" if trial.status else "dim")
        table.add_row(str(trial.number), *_cells(trial, heads), status)
    if running and best:
        table.add_section()
    for found in best:
        result = Text(numbers(found.values or ()))
        table.add_row(f"{found.number} best", *_cells(found, heads), result, style="bold green")
    return table


def _cells(trial: Running | Finished, heads: Mapping[str, str]) -> list[Text]:
    if not heads:
        return [Text(duration(trial.seconds)), Text(params(trial.params))]
    cells = [value(trial.params[name]) if name in trial.params else "" for name in heads]
    return [Text(duration(trial.seconds)), *map(Text, cells)]


def _heads(rows: Sequence[Mapping[str, Any]], width: int) -> dict[str, str]:
    """Return a head for each parameter; none if a column for each would be too wide."""
    known = list(dict.fromkeys(name for row in rows for name in row))
    short = [name.rpartition(".")[2] for name in known]
    heads = {
        name: last if short.count(last) == 1 else name
        for name, last in zip(known, short, strict=True)
    }
    need = 48  # the other columns, and a status worth reading
    for name, head in heads.items():
        texts = [value(row[name]) for row in rows if name in row]
        need += 2 + max(map(len, [head, *texts]))
    return heads if need <= width else {}


def clean(text: str) -> str:
    """Return a text on one line, without what would move the cursor."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def value(found: Any, *, exact: bool = False) -> str:
    """Return a parameter's value."""
    if isinstance(found, float) and not exact:
        return f"{found:.4g}"
    return clean("null" if found is None else str(found))


def params(found: Mapping[str, Any], *, exact: bool = False) -> str:
    """Return parameters on one line; exact, as they can be typed again."""
    return " ".join(f"{name}={value(one, exact=exact)}" for name, one in found.items())


def numbers(values: Sequence[float]) -> str:
    """Return a trial's values."""
    return ", ".join(f"{one:.5g}" for one in values)


def duration(seconds: float) -> str:
    """Return a time in words; never below 0, as clocks of machines differ."""
    seconds = max(seconds, 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
