"""A worker's loop: claim a slot, run its trial, tell Optuna, claim the next."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna_workers import stopping, study_info
from optuna_workers.callbacks import Callbacks, StudyInfo, TrialInfo
from optuna_workers.plan import Plan, key_of
from optuna_workers.sampling.trials import LOST, Begun, Book
from optuna_workers.storage.slots import Claim, Claims
from optuna_workers.workers.process import Answer, Died, Request
from optuna_workers.workers.runners import Runner

log = logging.getLogger(__name__)


class Worker:
    """One loop.

    Args:
        plan: What the command is about.
        name: Tells the workers of a process apart.
        runner: Where trials run.
        study: What callbacks are told.
        callbacks: Hear of each trial.
        stop: Set when no more trials are wanted.
    """

    def __init__(
        self,
        plan: Plan,
        name: str,
        runner: Runner,
        study: StudyInfo,
        callbacks: Callbacks,
        stop: threading.Event,
    ) -> None:
        self._plan, self._study, self._callbacks = plan, study, callbacks
        self._runner, self._stop = runner, stop
        self._book = Book(plan)
        number = self._book.storage.get_study_id_from_name(plan.name)
        self._claims = Claims(
            self._book.engine, number, worker=name,
            lease_seconds=plan.sweeper.lease_seconds,
        )  # fmt: skip
        self._status = ""
        self.jobs: list[bytes] = []

    def work(self) -> list[bytes]:
        """Run trials until no slot is left; return Hydra's JobReturns, pickled.

        Raises:
            KeyboardInterrupt: after the trial that ran was given back.
        """
        try:
            while not self._stop.is_set() and not self._should_stop():
                claim = self._claims.take(self._plan.n_trials)
                if claim is None:
                    break
                with self._heartbeat():
                    self._fill(claim)
        finally:
            self._runner.close()
        return self.jobs

    def _should_stop(self) -> bool:
        return not self._claims.has_session(self._plan.session) or bool(
            stopping.reason(self._claims, self._plan)
        )

    @contextlib.contextmanager
    def _heartbeat(self) -> Iterator[None]:
        """Renew the lease, and pass on what the task says it does, from a thread of our own."""
        over = threading.Event()
        every = self._plan.sweeper.lease_seconds / 3

        def beat() -> None:
            said, renewed = "", time.monotonic()
            while not over.wait(min(1.0, every)):
                if self._status != said or time.monotonic() - renewed > every:
                    said, renewed = self._status, time.monotonic()
                    self._claims.renew(said)

        self._status = ""
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _fill(self, claim: Claim) -> None:
        """Run trials for a slot until it has ended."""
        for dead in self._book.bury(claim.slot, "its worker died"):
            self._announce_lost(claim, dead)
        again, reason = None, "its worker died"
        if (lost := self._book.lost(claim)) is not None:
            if LOST not in lost.user_attrs:  # it had ended; only the slot did not know
                self._adopt(claim, lost)
                return
            again = lost.params
        while claim.attempt <= self._plan.sweeper.max_retries:
            try:
                self._try(claim, again)
                return
            except _Lost as error:
                again, reason = error.values, str(error)
                claim = self._claims.retry(replace(claim, trial=error.number))
        self._exhausted(claim, claim.trial, reason)

    def _try(self, claim: Claim, again: dict[str, Any] | None) -> None:
        begun = self._book.begin(claim, again)
        trial = self._info(claim, begun)
        point = key_of(begun.values)
        facts = _facts(trial)
        if not self._claims.started(claim, begun.number, point, facts):
            self._book.give_up(begun.number, "another worker has taken its slot over")
            return
        self._callbacks.trial_start(self._study, trial)
        twin = None
        if self._plan.sweeper.duplicates == "reuse" and not self._plan.enumerated:
            twin = self._claims.ended_with(point)
        answer = self._copied(begun, twin) if twin else self._run(claim, begun, trial)
        if answer.job:
            self.jobs.append(answer.job)
        self._end(claim, begun, trial, answer, twin)

    def _run(self, claim: Claim, begun: Begun, trial: TrialInfo) -> Answer:
        plan = self._plan
        request = Request(
            begun.number, plan.name, dict(begun.values), begun.overrides, dict(plan.shared),
            len(plan.directions), plan.sweeper.output,
        )  # fmt: skip
        asked = _Asked(self, begun)
        try:
            answer = self._runner.run(request, asked)
        except Died as error:
            trial = replace(trial, directory=asked.directory or trial.directory)
            if self._stop.is_set():
                return Answer("INTERRUPTED")
            self._claims.started(claim, begun.number, key_of(begun.values), _facts(trial))
            self._give_up(claim, begun, trial, str(error))
            raise _Lost(str(error), begun.number, dict(begun.values)) from None
        except KeyboardInterrupt:
            self._runner.interrupt()
            self._give_back(claim, begun, trial)
            raise
        if answer.state == "INTERRUPTED" and not self._stop.is_set():
            answer.state, answer.error = "FAIL", "the trial was interrupted from outside"
        return answer

    def _copied(self, begun: Begun, twin: Any) -> Answer:
        """Take the values of a trial with the same point instead of running it again."""
        known = study_info.facts_of(twin)
        log.info("trial %d has the point of trial %d: not run again", begun.number, twin.trial)
        return Answer("COMPLETE", known["values"], directory=known["directory"])

    def _end(
        self, claim: Claim, begun: Begun, trial: TrialInfo, answer: Answer, twin: Any
    ) -> None:
        if answer.state == "INTERRUPTED":
            self._give_back(claim, begun, trial)
            return
        if not self._claims.hold(claim):
            log.warning("trial %d: another worker has taken its slot over", begun.number)
            return
        state = "FAIL" if answer.state == "MISMATCH" else answer.state
        self._annotate(begun, answer, twin)
        if not self._book.tell(begun.number, state, answer.values):
            return
        values = answer.values or (self._book.values(begun.number) if state == "PRUNED" else None)
        ended = replace(
            trial, state=state, values=values, error=answer.error, seconds=answer.seconds,
            directory=Path(answer.directory or trial.directory),
            duplicate_of=twin.trial if twin else None,
        )  # fmt: skip
        self._claims.finish(claim, state, begun.number, _facts(ended))
        self._callbacks.trial_end(self._study, ended)
        if answer.state == "MISMATCH":
            raise stopping.Mismatch(answer.error)

    def _annotate(self, begun: Begun, answer: Answer, twin: Any) -> None:
        known: dict[str, Any] = {"overrides": begun.overrides, "directory": answer.directory}
        if answer.error:
            known["error"] = answer.error[-2000:]
        if twin:
            known["duplicate_of"] = twin.trial
        self._book.annotate(begun.number, known)

    def _give_up(self, claim: Claim, begun: Begun, trial: TrialInfo, reason: str) -> None:
        log.warning("trial %d: %s", begun.number, reason)
        self._book.annotate(begun.number, {"overrides": begun.overrides, "error": reason})
        if self._book.give_up(begun.number, reason):
            self._callbacks.trial_end(self._study, replace(trial, state="FAIL", error=reason))

    def _give_back(self, claim: Claim, begun: Begun, trial: TrialInfo) -> None:
        self._give_up(claim, begun, trial, "interrupted")
        self._claims.release(claim)

    def _announce_lost(self, claim: Claim, dead: Any) -> None:
        log.warning("trial %d: its worker died; slot %d runs again", dead.number, claim.slot)
        trial = self._info_of(claim, dead)
        self._callbacks.trial_end(
            self._study, replace(trial, state="FAIL", error="its worker died")
        )

    def _adopt(self, claim: Claim, ended: Any) -> None:
        trial = self._info_of(claim, ended)
        trial = replace(trial, state=ended.state.name, values=ended.values)
        self._claims.finish(claim, ended.state.name, ended.number, _facts(trial))
        self._callbacks.trial_end(self._study, trial)

    def _exhausted(self, claim: Claim, number: int | None, reason: str) -> None:
        retries = self._plan.sweeper.max_retries
        reason += f"; {claim.attempt} time(s), hydra.sweeper.max_retries={retries}"
        row = self._claims.rows(*self._claims.of_slot(claim.slot))[0]
        known = {**study_info.facts_of(row), "error": reason, "state": "FAIL"}
        self._claims.finish(claim, "FAIL", number or 0, known)

    def _info(self, claim: Claim, begun: Begun) -> TrialInfo:
        return TrialInfo(
            begun.number, claim.slot, claim.attempt, dict(begun.values), tuple(begun.overrides),
            self._plan.directory,
        )  # fmt: skip

    def _info_of(self, claim: Claim, trial: Any) -> TrialInfo:
        overrides = tuple(trial.user_attrs.get("overrides", ()))
        known = trial.user_attrs.get("directory") or self._plan.directory
        return TrialInfo(
            trial.number, claim.slot, claim.attempt, dict(trial.params), overrides, Path(known)
        )

    def report(self, begun: Begun, value: float, step: int) -> None:
        """Pass an intermediate value on; Optuna has pruners for one direction only."""
        if len(self._plan.directions) == 1:
            begun.trial.report(value, step)

    def say(self, text: str) -> None:
        """Show what the trial does."""
        self._status = text


class _Asked:
    """Answers what a task asks of its trial."""

    def __init__(self, worker: Worker, begun: Begun) -> None:
        self._worker, self._begun = worker, begun
        self.directory: Path | None = None

    def __call__(self, kind: str, *arguments: Any) -> Any:
        if kind == "report":
            self._worker.report(self._begun, *arguments)
        elif kind == "should_prune":
            several = len(self._begun.trial.study.directions) > 1
            return not several and self._begun.trial.should_prune()
        elif kind == "status":
            self._worker.say(*arguments)
        elif kind == "directory":
            self.directory = Path(arguments[0])
        elif kind == "set_user_attr":
            self._begun.trial.set_user_attr(*arguments)
        return None


class _Lost(Exception):
    """A trial whose process died under a living worker."""

    def __init__(self, reason: str, number: int, values: dict[str, Any]) -> None:
        super().__init__(reason)
        self.number, self.values = number, values


def _facts(trial: TrialInfo) -> dict[str, Any]:
    return {
        "params": dict(trial.params),
        "overrides": list(trial.overrides),
        "directory": str(trial.directory),
        "values": trial.values,
        "error": trial.error[-2000:],
        "seconds": trial.seconds,
        "duplicate_of": trial.duplicate_of,
    }
