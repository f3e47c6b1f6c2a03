"""What the parent sees of a running study, its own workers' and others' trials alike."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from optuna_workers import stopping
from optuna_workers.callbacks.study_info import trial_of
from optuna_workers.display.board import Board
from optuna_workers.display.snapshot import Finished, Running, Snapshot
from optuna_workers.plan import Plan
from optuna_workers.storage.slots import ENDED, RUNNING, SLOTS, WAITING, Claims, read_facts

EVERY = 0.5


class Watch:
    """Feeds the board from the slots, in a thread.

    Args:
        plan: What the command is about.
        claims: The study's slots.
    """

    def __init__(self, plan: Plan, claims: Claims) -> None:
        self._plan, self._claims = plan, claims
        # a debugger in a trial of this process needs the terminal for itself
        live = plan.sweeper.isolation != "none"
        self._board = Board(plan.name, list(plan.directions), live=live)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._ended: dict[int, Finished] = {}
        self._latest = 0.0
        self._begun = claims.now()
        self._before: set[int] = {row.slot for row in claims.rows(SLOTS.c.state.in_(ENDED))}

    def __enter__(self) -> Watch:
        self._board.__enter__()
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._over.set()
        self._thread.join()
        self._look()
        self._board.__exit__(*error)

    def _watch(self) -> None:
        while not self._over.wait(EVERY):
            with contextlib.suppress(SQLAlchemyError):  # the workers will say what is wrong
                self._look()

    def _look(self) -> None:
        # only what ended since the last look, and a little before: clocks are read elsewhere
        news = self._claims.rows(SLOTS.c.state.in_(ENDED), SLOTS.c.ended >= self._latest - 10)
        for row in news:
            self._latest = max(self._latest, row.ended)
            if row.slot in self._ended:
                continue
            finished = self._ended[row.slot] = _finished(row)
            if row.slot not in self._before:
                self._board.finished(finished)
        running = self._claims.rows(SLOTS.c.state == RUNNING)
        self._board.update(self._snapshot(running))

    def _snapshot(self, running: list[Any]) -> Snapshot:
        counts = self._claims.counts()
        now = self._claims.now()
        left = self._plan.n_trials - sum(counts.get(state, 0) for state in ENDED)
        here = sum(slot not in self._before for slot in self._ended)
        seconds = (now - self._begun) / here * left if here else None
        return Snapshot(
            total=self._plan.n_trials,
            counts=counts,
            running=[_running(row, now) for row in running if row.trial is not None],
            best=self._best(),
            seconds_left=seconds,
        )

    def _best(self) -> list[Finished]:
        done = [f for f in self._ended.values() if f.state == "COMPLETE" and f.values]
        signs = [1 if way == "minimize" else -1 for way in self._plan.directions]

        def cost(trial: Finished) -> list[float]:
            return [sign * value for sign, value in zip(signs, trial.values or (), strict=True)]

        if len(signs) == 1:
            return sorted(done, key=cost)[:1]
        return [a for a in done if not any(_dominates(cost(b), cost(a)) for b in done)]

    def wait_for_others(self) -> bool:
        """Wait for slots that others hold; return whether there is work for us again."""
        while True:
            counts = self._claims.counts()
            ended = sum(counts.get(state, 0) for state in ENDED)
            if ended >= self._plan.n_trials or stopping.reason(self._claims, self._plan):
                return False
            held = [
                row for row in self._claims.rows(SLOTS.c.state == RUNNING)
                if not self._claims.is_abandoned(row.owner, row.lease)
            ]  # fmt: skip
            if not held or counts.get(WAITING) or len(held) < counts.get(RUNNING, 0):
                return True
            time.sleep(EVERY)


def _dominates(a: list[float], b: list[float]) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


def _running(row: Any, now: float) -> Running:
    worker = row.owner.rpartition("/")[2]
    params = read_facts(row)["params"]
    return Running(row.trial, worker, params, now - (row.started or now), row.status or "")


def _finished(row: Any) -> Finished:
    trial = trial_of(row)
    return Finished(
        number=trial.number,
        state=row.state,
        values=trial.values,
        params=trial.params,
        seconds=trial.seconds,
        message=trial.error,
        directory=str(trial.directory),
        duplicate_of=trial.duplicate_of,
    )
