"""What a person sees: progress bars, one summary table, errors as one message."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from catdog.progress import Advance, Progress

if TYPE_CHECKING:
    from pathlib import Path

    from catdog.breakdown import ClassRow
    from catdog.compare import Difference, Reason
    from catdog.contest import Again
    from catdog.experiment import Outcome
    from catdog.inspection import Inspection
    from catdog.searches import Search
    from catdog.shelf import Item

MANY = 15
"""How many reasons a table lists."""


class Console(Progress):
    """Draws progress on stderr and results on stdout; plain lines where it is no terminal."""

    def __init__(self) -> None:
        self._err = RichConsole(stderr=True, highlight=False)

    @contextmanager
    def track(self, stage: str, total: int) -> Iterator[Advance]:
        """Draw a bar for a stage, gone from the screen only if the stage was instant."""
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
                fields: dict[str, Any] = {"text": text} if text else {}
                bars.update(task, advance=count, **fields)

            yield advance

    def note(self, message: str) -> None:
        """Print one line."""
        self._err.print(message, style="dim", soft_wrap=True, markup=False)


def summarize(outcome: Outcome, browse: str) -> None:
    """Print the table that ends a run."""
    fitted, test, seconds = outcome.fitted, outcome.test, outcome.seconds
    table = Table(title=f"run {outcome.run_id[:8]}", show_header=False, title_justify="left")
    ran = len(fitted.history["lr"])
    early = ", stopped early" if fitted.stopped_early else ""
    table.add_row("best epoch", f"{fitted.best_epoch} of {ran}{early}")
    table.add_row(
        "validation",
        f"loss {fitted.at_best('val/loss'):.4f}  accuracy {fitted.at_best('val/accuracy'):.4f}",
    )
    table.add_row(
        "test",
        f"loss {test.loss:.4f}  accuracy {test.accuracy:.4f}  "
        f"AUC {test.auc:.4f}  ECE {test.ece:.4f}",
    )
    if outcome.suggestions:
        found = "  ".join(f"{name} {rate:.1e}" for name, rate in outcome.suggestions.items())
        table.add_row("LR range test", found)
    table.add_row("trained weights", f"{outcome.parameters:,}")
    spent = sorted((s for s in seconds.items() if s[0] != "total"), key=lambda s: -s[1])
    shown = "  ".join(f"{name} {value:.1f}" for name, value in spent)
    table.add_row("seconds", f"{seconds['total']:.1f}: {shown}")
    table.add_row("browse", Text(browse))
    # a narrow terminal wraps long lines itself; a wrapped command could not be pasted
    RichConsole(width=200, highlight=False).print(table)


def evaluated(
    title: str, figures: Mapping[str, str], classes: Sequence[ClassRow], browse: str
) -> None:
    """Print what an evaluation found: figures, one row per class, where to see more."""
    out = RichConsole(width=200, highlight=False)
    out.print(Text(title))  # as a table's title it would be folded to its width
    table = Table(show_header=False)
    for name, value in figures.items():
        table.add_row(name, value)
    out.print(table)
    table = Table("class", "photos", "precision", "recall", "95 % interval", "F1")
    for row in classes:
        shown = (f"{row.precision:.4f}", f"{row.recall:.4f}", f"{row.low:.4f} to {row.high:.4f}")
        table.add_row(Text(row.name), f"{row.photos:,}", *shown, f"{row.f1:.4f}")
    out.print(table)
    out.print(Text(browse))


def inspected(found: Inspection, folder: Path | None, browse: str, most: int = 10) -> None:
    """Print the first suspects and near-duplicates, and where all of them are."""
    out = RichConsole(width=200, highlight=False)
    table = Table("label", "rather", "probability", "split", "photo", title_justify="left")
    table.title = f"{len(found.suspects)} labels doubted"
    for one in found.suspects[:most]:
        sure = f"{one.probability_of_suggested:.4f}"
        table.add_row(*map(Text, (one.label, one.suggested, sure, one.split, one.path)))
    out.print(table)
    table = Table("cosine", "splits", "photos", title_justify="left")
    table.title = f"{len(found.duplicates)} near-duplicates, {found.straddling} across splits"
    for pair in found.duplicates[:most]:
        splits, both = f"{pair.first_split} {pair.second_split}", f"{pair.first}  {pair.second}"
        table.add_row(f"{pair.similarity:.3f}", splits, Text(both))
    out.print(table)
    if folder:
        out.print(Text(f"all of them, and pictures: {folder / 'suspects'}"))
    out.print(Text(browse))


def compared(
    title: str, figures: int, differing: Sequence[Difference], reasons: Sequence[Reason]
) -> None:
    """Print which figures of a repeat are not the same, and why that may be."""
    out, others = RichConsole(width=200, highlight=False), sum(d.differing for d in differing)
    said = f"{title}: {figures - others} of {figures} figures are the same to the last bit"
    out.print(said, markup=False)
    if not differing:
        return
    table = Table("metric", "differ", "first at step", "then", "now", "at most by")
    for one in differing:
        apart = "missing" if math.isnan(one.largest) else f"{one.largest:.1e}"
        points = f"{one.differing} of {one.points}"
        table.add_row(one.metric, points, str(one.step), repr(one.then), repr(one.now), apart)
    out.print(table)
    if not reasons:
        out.print("Code, photos, weights, settings, packages, machine and threads are the same.")
        return
    table = Table("what may be why", "then", "now")
    for reason in reasons[:MANY]:
        table.add_row(Text(reason.what), Text(reason.then), Text(reason.now))
    out.print(table)
    if len(reasons) > MANY:
        out.print(f"and {len(reasons) - MANY} more packages and settings", markup=False)


def retrained(metric: str, again: Sequence[Again], winner: Again) -> None:
    """Print the mean of each trial's settings over the seeds."""
    table = Table("trial", "as a trial", f"mean {metric}", "sd", "seeds")
    for one in again:
        values = "  ".join(f"{value:.4f}" for value in one.values)
        row = (one.trial, f"{one.before:.4f}", f"{one.mean:.4f}", f"{one.spread:.4f}", values)
        table.add_row(*row, style="bold" if one is winner else "")
    RichConsole(width=200, highlight=False).print(table)


def promoted(name: str, version: str, alias: str) -> None:
    """Print what a model is called in the registry now."""
    use = f"models:/{name}@{alias}" if alias == "champion" else f"models:/{name}/{version}"
    RichConsole(width=200, highlight=False).print(f"version {version} of {name}, {alias}: {use}")


def suggest(suggestions: dict[str, float]) -> None:
    """Print what the LR range test suggests."""
    table = Table(title="LR range test", show_header=False, title_justify="left")
    for name, rate in suggestions.items():
        found = "too few finite losses to say" if math.isnan(rate) else f"optimizer.lr={rate:.1e}"
        table.add_row(name, found)
    RichConsole(highlight=False).print(table)


def list_searches(searches: Sequence[Search]) -> None:
    """Print the searches that can be run, and how."""
    table = Table(show_lines=True, show_header=False)
    table.add_column("search", no_wrap=True, style="bold")
    table.add_column("about", overflow="fold")
    for search in searches:
        about = [
            search.question,
            f"budget: {search.budget}",
            f"found: {search.found or 'nothing yet'}",
        ]
        table.add_row(Text(search.name), Text("\n".join(about)))
    out = RichConsole(highlight=False)
    out.print(table)
    out.print("python -m catdog.sweep NAME key=value ...", markup=False)


def list_cache(root: Path, items: Sequence[Item], others: Sequence[str]) -> None:
    """Print what lies in the cache, and what lies there that is not catdog's."""
    from catdog.shelf import age_text, bytes_text

    table = Table(box=None, pad_edge=False, show_footer=True)
    total = bytes_text(sum(item.size for item in items))
    table.add_column("kind", "total")
    table.add_column("what it is", overflow="fold")
    table.add_column("size", total, justify="right", no_wrap=True)
    table.add_column("last used", no_wrap=True)
    table.add_column("where", str(root), overflow="fold")
    for item in items:
        where = str(item.path.relative_to(root))
        row = (item.kind, item.about, bytes_text(item.size), age_text(item.used), where)
        table.add_row(*map(Text, row))
    out = RichConsole(width=None if sys.stdout.isatty() else 200, highlight=False)
    out.print(table)
    if others:
        out.print(f"not catdog's, never removed: {', '.join(others)}", markup=False)


MARKS = {"ok": "green", "warning": "yellow", "red": "bold red"}


def finding(mark: str, name: str, said: str, fix: str) -> None:
    """Print one line of the doctor's, and below it what to do."""
    line = Text.assemble((f"{mark:<9}", MARKS.get(mark, "dim")), f"{name:<11}", said)
    out = RichConsole(highlight=False)
    out.print(line, soft_wrap=True)
    if fix:
        out.print(Text(f"{'':20}-> {fix}"), soft_wrap=True)


def complain(message: str) -> None:
    """Print an error on stderr, in one message."""
    sys.stderr.write(f"catdog: {message}\n")
