"""One try at a slot: a trial from its values to its end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from optuna_workers.callbacks import Callbacks, StudyInfo, TrialInfo
from optuna_workers.callbacks.study_info import LONGEST_ERROR, facts_of
from optuna_workers.masking import without_passwords
from optuna_workers.plan import Plan, key_of
from optuna_workers.sampling.trials import Begun, Book
from optuna_workers.stopping import Mismatch
from optuna_workers.storage.retry import patiently
from optuna_workers.storage.returned import Returned
from optuna_workers.storage.slots import Claim, Claims, read_facts
from optuna_workers.workers.current_trial import Postponed
from optuna_workers.workers.process import Died, Reply, Request
from optuna_workers.workers.runners import Runner

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shared:
    """What all attempts of a worker share.

    Attributes:
        plan: What the command is about.
        study: What callbacks are given.
        callbacks: Called for each trial.
        book: Optuna's record of the study.
        claims: The study's slots.
        runner: Where trials run.
        stop: Set when no more trials are wanted.
        returned: Hydra's JobReturns; each attempt adds its own.
        show: Takes a trial's status, for the live table.
    """

    plan: Plan
    study: StudyInfo
    callbacks: Callbacks
    book: Book
    claims: Claims
    runner: Runner
    stop: threading.Event
    returned: Returned
    show: Callable[[str], None]


class Lost(Exception):
    """A trial whose process died under a living worker."""

    def __init__(self, reason: str, number: int, values: dict[str, Any]) -> None:
        super().__init__(reason)
        self.number, self.values = number, values


class Attempt:
    """One try at a slot.

    Args:
        shared: What all attempts of the worker share.
        claim: The slot.
    """

    def __init__(self, shared: Shared, claim: Claim) -> None:
        self._shared, self._claim = shared, claim
        self._plan, self._book, self._claims = shared.plan, shared.book, shared.claims

    def run(self, again: dict[str, Any] | None) -> None:
        """Run one trial for the slot.

        Args:
            again: Values of a trial that was lost, or None.

        Raises:
            Lost: its process died.
            KeyboardInterrupt: after the slot was released.
            Mismatch: the task returns a wrong number of values.
            Postponed: what the task needs is away; the slot was released.
        """
        begun = self._book.begin(self._claim, again)
        trial = self._info(begun)
        point = key_of(begun.values)
        if not self._claims.started(self._claim, begun.number, point, facts_of(trial)):
            self._book.end_lost(begun.number, "another worker has taken its slot over")
            return
        self._shared.callbacks.trial_start(self._shared.study, trial)
        twin = None
        if self._plan.sweeper.duplicates == "reuse" and not self._plan.enumerated:
            twin = self._claims.ended_with(point)
        reply = self._copied(begun, twin) if twin else self._run(begun, trial)
        self._end(begun, trial, reply, twin)
        if reply.job:
            self._shared.returned.add(begun.number, reply.job)

    def _info(self, begun: Begun) -> TrialInfo:
        return TrialInfo(
            begun.number, self._claim.slot, self._claim.attempt, dict(begun.values),
            tuple(begun.overrides), self._plan.directory,
        )  # fmt: skip

    def _copied(self, begun: Begun, twin: Any) -> Reply:
        """Take the values of a trial with the same point instead of running it again."""
        known = read_facts(twin)
        log.info("trial %d has the point of trial %d: not run again", begun.number, twin.trial)
        return Reply("COMPLETE", known["values"], directory=known["directory"])

    def _run(self, begun: Begun, trial: TrialInfo) -> Reply:
        calls = _TaskCalls(self._shared, begun)
        try:
            reply = self._shared.runner.run(self._request(begun), calls)
        except Died as error:
            trial = replace(trial, directory=calls.directory or trial.directory)
            if self._shared.stop.is_set():
                return Reply("INTERRUPTED")
            point = key_of(begun.values)
            self._claims.started(self._claim, begun.number, point, facts_of(trial))
            self._lose(begun, trial, str(error))
            raise Lost(str(error), begun.number, dict(begun.values)) from None
        except KeyboardInterrupt:
            self._shared.runner.interrupt()
            self._release(begun, trial)
            raise
        if reply.state == "INTERRUPTED" and not self._shared.stop.is_set():
            reply.state, reply.error = "FAIL", "the trial was interrupted from outside"
        return reply

    def _request(self, begun: Begun) -> Request:
        plan = self._plan
        return Request(
            begun.number, plan.name, dict(begun.values), begun.overrides, dict(plan.shared),
            len(plan.directions), plan.sweeper.output,
        )  # fmt: skip

    def _end(self, begun: Begun, trial: TrialInfo, reply: Reply, twin: Any) -> None:
        if reply.state == "INTERRUPTED":
            self._release(begun, trial)
            return
        if reply.state == "POSTPONED":
            self._postpone(begun, trial, reply)
        if not self._claims.hold(self._claim):
            log.warning("trial %d: another worker has taken its slot over", begun.number)
            return
        state = "FAIL" if reply.state == "MISMATCH" else reply.state
        self._annotate(begun, reply, twin)
        if not self._book.tell(begun.number, state, reply.values):
            return
        values = reply.values or (self._book.values(begun.number) if state == "PRUNED" else None)
        ended = replace(
            trial, state=state, values=values, error=reply.error, seconds=reply.seconds,
            directory=Path(reply.directory or trial.directory),
            duplicate_of=twin.trial if twin else None,
        )  # fmt: skip
        self._claims.finish(self._claim, state, begun.number, facts_of(ended))
        self._shared.callbacks.trial_end(self._shared.study, ended)
        if reply.state == "MISMATCH":
            raise Mismatch(reply.error)

    def _annotate(self, begun: Begun, reply: Reply, twin: Any) -> None:
        known: dict[str, Any] = {
            "overrides": without_passwords(begun.overrides),
            "directory": reply.directory,
        }
        if reply.error:
            known["error"] = reply.error[-LONGEST_ERROR:]
        if twin:
            known["duplicate_of"] = twin.trial
        self._book.annotate(begun.number, known)

    def _lose(self, begun: Begun, trial: TrialInfo, reason: str) -> None:
        """End a trial that was lost; its slot goes on."""
        log.warning("trial %d: %s", begun.number, reason)
        self._book.annotate(
            begun.number, {"overrides": without_passwords(begun.overrides), "error": reason}
        )
        if self._book.end_lost(begun.number, reason):
            ended = replace(trial, state="FAIL", error=reason)
            self._shared.callbacks.trial_end(self._shared.study, ended)

    def _release(self, begun: Begun, trial: TrialInfo) -> None:
        """End an interrupted trial and release its slot, at no cost of an attempt."""
        self._lose(begun, trial, "interrupted")
        self._claims.release(self._claim)

    def _postpone(self, begun: Begun, trial: TrialInfo, reply: Reply) -> NoReturn:
        """End a trial that could not do its work and release its slot, at no cost either."""
        self._book.annotate(begun.number, {"overrides": begun.overrides, "error": reply.error})
        self._book.end_lost(begun.number, reply.error)
        self._claims.release(self._claim)
        ended = replace(trial, state="POSTPONED", error=reply.error)
        self._shared.callbacks.trial_end(self._shared.study, ended)
        raise Postponed(reply.error, reply.waited)


class _TaskCalls:
    """Does what a task calls its trial for."""

    def __init__(self, shared: Shared, begun: Begun) -> None:
        self._shared, self._trial = shared, begun.trial
        self._several = len(shared.plan.directions) > 1  # Optuna's pruners judge one
        self.directory: Path | None = None

    @patiently
    def __call__(self, kind: str, *arguments: Any) -> Any:
        if kind == "report" and not self._several:
            self._trial.report(*arguments)
        elif kind == "should_prune":
            return not self._several and self._trial.should_prune()
        elif kind == "status":
            self._shared.show(*arguments)
        elif kind == "directory":
            self.directory = Path(arguments[0])
        elif kind == "say":
            log.warning("trial %d: %s", self._trial.number, *arguments)
        elif kind == "set_user_attr":
            self._trial.set_user_attr(*arguments)
        return None
