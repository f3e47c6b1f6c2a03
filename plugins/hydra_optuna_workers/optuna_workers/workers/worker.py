"""A worker's loop: claim a slot, run its trial, tell Optuna, claim the next."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna_workers import stopping
from optuna_workers.callbacks import Callbacks, StudyInfo, TrialInfo
from optuna_workers.callbacks.study_info import facts_of
from optuna_workers.plan import Plan
from optuna_workers.sampling.trials import LOST, Book
from optuna_workers.storage.leases import heartbeat
from optuna_workers.storage.patience import FIRST_PAUSE, LONGEST_PAUSE, longest_wait
from optuna_workers.storage.returned import Returned
from optuna_workers.storage.slots import SLOTS, Claim, Claims, read_facts
from optuna_workers.workers.attempt import Attempt, Lost, Shared
from optuna_workers.workers.current_trial import Postponed
from optuna_workers.workers.runners import Runner

log = logging.getLogger(__name__)

DIED = "its worker died"


class Worker:
    """One loop.

    Args:
        plan: What the command is about.
        name: Tells the workers of a process apart.
        runner: Where trials run.
        study: What callbacks are given.
        callbacks: Called for each trial.
        stop: Set when no more trials are wanted.
        returned: Takes Hydra's JobReturns.
    """

    def __init__(
        self,
        plan: Plan,
        name: str,
        runner: Runner,
        study: StudyInfo,
        callbacks: Callbacks,
        stop: threading.Event,
        returned: Returned,
    ) -> None:
        self._plan, self._study, self._callbacks = plan, study, callbacks
        self._runner, self._stop, self._returned = runner, stop, returned
        self._book = Book(plan)
        self._claims = Claims(
            self._book.engine, self._book.study_id, worker=name,
            lease_seconds=plan.sweeper.lease_seconds,
        )  # fmt: skip
        self._status = ""
        self._away_since: float | None = None

    def work(self) -> None:
        """Run trials until no slot is left.

        Raises:
            KeyboardInterrupt: after the slot of the trial that ran was released.
            Postponed: what trials need was away for too long; no slot is used up by it.
        """
        try:
            while not self._stop.is_set() and not self._should_stop():
                claim = self._claims.take(self._plan.n_trials)
                if claim is None:
                    break
                try:
                    with self._lease_kept():
                        self._fill(claim)
                    self._away_since = None
                except Postponed as error:
                    self._wait_after(error)
        finally:
            self._runner.close()

    def _wait_after(self, error: Postponed) -> None:
        """Wait a little for what a trial needs, or end all workers if that is of no use."""
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now - error.waited
            log.warning("a slot was given back: %s", error)
        if now - self._away_since >= longest_wait():
            self._stop.set()
            raise error
        self._stop.wait(min(LONGEST_PAUSE, max(FIRST_PAUSE, now - self._away_since)))

    def _should_stop(self) -> bool:
        return not self._claims.has_session(self._plan.session) or bool(
            stopping.reason(self._claims, self._plan)
        )

    def _lease_kept(self) -> contextlib.AbstractContextManager[None]:
        """Renew the lease, and pass on a new status at once, while the block runs."""
        every = self._plan.sweeper.lease_seconds / 3
        self._status = said = ""
        renewed = time.monotonic()

        def renew() -> None:
            nonlocal said, renewed
            if self._status != said or time.monotonic() - renewed > every:
                said, renewed = self._status, time.monotonic()
                self._claims.renew(said)

        return heartbeat(renew, every=min(1.0, every))

    def _fill(self, claim: Claim) -> None:
        """Run trials for a slot until it has ended."""
        for dead in self._book.end_lost_of(claim.slot, DIED):
            log.warning("trial %d: its worker died; slot %d runs again", dead.number, claim.slot)
            self._call_trial_end(replace(self._info_of(claim, dead), state="FAIL", error=DIED))
        again, reason = None, DIED
        if (lost := self._book.lost(claim)) is not None:
            if LOST not in lost.user_attrs:  # it had ended; only the slot did not know
                self._adopt(claim, lost)
                return
            again = lost.params
        while claim.attempt <= self._plan.sweeper.max_retries:
            try:
                Attempt(self._shared(), claim).run(again)
                return
            except Lost as error:
                again, reason = error.values, str(error)
                claim = self._claims.retry(replace(claim, trial=error.number))
        self._exhausted(claim, claim.trial, reason)

    def _shared(self) -> Shared:
        return Shared(
            plan=self._plan,
            study=self._study,
            callbacks=self._callbacks,
            book=self._book,
            claims=self._claims,
            runner=self._runner,
            stop=self._stop,
            returned=self._returned,
            show=self._show,
        )

    def _show(self, status: str) -> None:
        self._status = status

    def _call_trial_end(self, trial: TrialInfo) -> None:
        self._callbacks.trial_end(self._study, trial)

    def _adopt(self, claim: Claim, ended: Any) -> None:
        """End a slot as its trial did, whose worker died between the two."""
        trial = self._info_of(claim, ended)
        trial = replace(trial, state=ended.state.name, values=ended.values)
        self._claims.finish(claim, ended.state.name, ended.number, facts_of(trial))
        self._call_trial_end(trial)

    def _exhausted(self, claim: Claim, number: int | None, reason: str) -> None:
        """End a slot whose retries are used up as FAIL."""
        retries = self._plan.sweeper.max_retries
        reason += f"; {claim.attempt} time(s), hydra.sweeper.max_retries={retries}"
        (row,) = self._claims.rows(SLOTS.c.slot == claim.slot)
        known = {**read_facts(row), "error": reason, "state": "FAIL"}
        self._claims.finish(claim, "FAIL", number or 0, known)

    def _info_of(self, claim: Claim, trial: Any) -> TrialInfo:
        """Return what callbacks are given of a trial that another worker ran."""
        overrides = tuple(trial.user_attrs.get("overrides", ()))
        known = trial.user_attrs.get("directory") or self._plan.directory
        return TrialInfo(
            trial.number, claim.slot, claim.attempt, dict(trial.params), overrides, Path(known)
        )
