"""What ``python -m optuna_workers`` prints."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from optuna_workers.display.table import FRONT, clean, numbers, params, states
from optuna_workers.status.study import SlotStatus, StudyStatus

UNKNOWN = "?"
"""Where an earlier version kept no number."""


def studies(found: Sequence[StudyStatus]) -> RenderableType:
    """Return a table of studies, a row each."""
    heads = ("done", "complete", "pruned", "failed", "running", "left", "best")
    table = _table("study", *heads, fold="study")
    for study in found:
        counts = study.counts
        best = numbers(study.best[0].values or ()) if len(study.directions) == 1 else ""
        front = f"front of {len(study.best)}" if len(study.directions) > 1 else ""
        table.add_row(
            Text(clean(study.name)), str(study.done), str(counts["COMPLETE"]),
            str(counts["PRUNED"]), str(counts["FAIL"]), str(counts["RUNNING"]),
            UNKNOWN if study.left is None else str(study.left), (study.best and best) or front,
        )  # fmt: skip
    return table


def study(found: StudyStatus) -> RenderableType:
    """Return all that is known of one study."""
    parts: list[RenderableType] = [*_head(found)]
    claimed = [slot for slot in found.slots if slot.is_running or slot.is_lost]
    for title, table in (
        ("running", _running(claimed, found.now)),
        ("retried", _retried([slot for slot in found.slots if slot.attempt])),
        ("failed", _failed([slot for slot in found.slots if slot.state == "FAIL"])),
    ):
        if table.rows:
            parts += [Text(), Text(title, "bold"), table]
    return Group(*parts)


def _head(found: StudyStatus) -> Iterator[Text]:
    total = UNKNOWN if found.n_trials is None else found.n_trials
    left = UNKNOWN if found.left is None else found.left
    lost = sum(slot.is_lost for slot in found.slots)
    yield Text.assemble((clean(found.name), "bold"), f"  {', '.join(found.directions)}")
    yield Text(clean(found.storage), "dim", overflow="fold")
    ended = Text(f"{found.done} of {total} slots have ended")
    parts = [ended, states(found.counts), Text(f"{left} left")]
    yield Text("  ").join(part for part in parts if part)
    if lost:
        yield Text(f"{lost} lost with their owner: the next worker runs them again", "yellow")
    commands = f"{found.commands or 'no'} command{'' if found.commands == 1 else 's'}"
    yield Text(f"{commands} work{'s' if found.commands == 1 else ''} on it")
    if found.stopped:
        yield Text(f"stopped: {clean(found.stopped)}", "yellow")
    for trial in found.best[:FRONT]:
        best = Text("best ", "bold green")
        point = params(trial.params, exact=True)
        yield Text.assemble(best, numbers(trial.values or ()), f"  trial {trial.number}  {point}")
    if len(found.best) > FRONT:
        yield Text(f"and {len(found.best) - FRONT} more on the Pareto front", "dim")


def _running(slots: Sequence[SlotStatus], now: float) -> Table:
    table = _table("trial", "attempt", "owner", "since", "lease", "doing", fold="doing")
    for slot in slots:
        table.add_row(
            UNKNOWN if slot.trial is None else str(slot.trial), str(slot.attempt),
            Text(f"{clean(slot.host)} {slot.pid}"), _since(slot.started or now, now),
            _lease(slot), Text(clean(slot.status)),
        )  # fmt: skip
    return table


def _since(started: float, now: float) -> str:
    """Return a time of this machine's clock, with its day if that is another."""
    begun, today = time.localtime(started), time.localtime(now)
    return time.strftime("%H:%M:%S" if begun[:3] == today[:3] else "%d %b %H:%M", begun)


def _lease(slot: SlotStatus) -> Text:
    if slot.is_lost:
        return Text("dead" if slot.alive is False else "run out", "red")
    return Text("alive" if slot.alive else f"{slot.lease:.0f} s left", "green")


def _retried(slots: Sequence[SlotStatus]) -> Table:
    table = _table("slot", "attempt", "latest trial", "state")
    for slot in slots:
        trial = UNKNOWN if slot.trial is None else str(slot.trial)
        table.add_row(str(slot.slot), str(slot.attempt), trial, slot.state)
    return table


def _failed(slots: Sequence[SlotStatus]) -> Table:
    table = _table("trial", "slot", "reason", fold="reason")
    for slot in slots:
        reason = (slot.error.strip().splitlines() or ["no reason known"])[-1]
        table.add_row(str(slot.trial), str(slot.slot), Text(clean(reason)))
    return table


def _table(*heads: str, fold: str = "") -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1), header_style="dim")
    for head in heads:
        folds = head in (fold, "owner")
        table.add_column(head, no_wrap=not folds, overflow="fold" if folds else "ellipsis")
    return table
