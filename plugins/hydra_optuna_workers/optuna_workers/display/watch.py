"""What the parent sees of a running study, its own workers' and others' trials alike."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

from optuna_workers import stopping
from optuna_workers.display.board import Board
from optuna_workers.display.snapshot import (
    Finished,
    Snapshot,
    best_of,
    finished_of,
    running_of,
)
from optuna_workers.errors import StorageAway
from optuna_workers.plan import Plan
from optuna_workers.storage.slots import ENDED, RUNNING, SLOTS, WAITING, Claims

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
        self._ended: set[int] = set()
        self._best: list[Finished] = []  # of thousands of trials only these are kept
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
        with contextlib.suppress(StorageAway):
            self._look()
        self._board.__exit__(*error)

    def _watch(self) -> None:
        while not self._over.wait(EVERY):
            with contextlib.suppress(StorageAway):  # the workers will say what is wrong
                self._look()

    def _look(self) -> None:
        # only what ended since the last look, and a little before: clocks are read elsewhere
        news = self._claims.rows(SLOTS.c.state.in_(ENDED), SLOTS.c.ended >= self._latest - 10)
        for row in news:
            self._latest = max(self._latest, row.ended)
            if row.slot in self._ended:
                continue
            self._ended.add(row.slot)
            finished = finished_of(row)
            self._best = best_of([*self._best, finished], self._plan.directions)
            if row.slot not in self._before:
                self._board.finished(finished)
        running = self._claims.rows(SLOTS.c.state == RUNNING)
        self._board.update(self._snapshot(running))

    def _snapshot(self, running: list[Any]) -> Snapshot:
        counts = self._claims.counts()
        now = self._claims.now()
        left = self._plan.n_trials - sum(counts.get(state, 0) for state in ENDED)
        here = len(self._ended - self._before)
        seconds = (now - self._begun) / here * left if here else None
        return Snapshot(
            total=self._plan.n_trials,
            counts=counts,
            running=[running_of(row, now) for row in running if row.trial is not None],
            best=self._best,
            seconds_left=seconds,
        )

    def wait_for_others(self) -> bool:
        """Wait for slots that others hold; return whether there is work for us again."""
        while True:
            counts = self._claims.counts()
            ended = sum(counts.get(state, 0) for state in ENDED)
            if ended >= self._plan.n_trials or stopping.reason(self._claims, self._plan):
                return False
            running = self._claims.rows(SLOTS.c.state == RUNNING)
            over = [row for row in running if self._claims.is_abandoned(row.owner, row.lease)]
            for row in over:
                self._claims.expire(row)
            if over or not running or counts.get(WAITING):
                return True
            time.sleep(EVERY)
