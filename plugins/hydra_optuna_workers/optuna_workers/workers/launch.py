"""Starts the workers of a command: threads of it, or one Hydra job each under any launcher."""

from __future__ import annotations

import functools
import logging
import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hydra._internal.callbacks import Callbacks as HydraCallbacks
from hydra.core.plugins import Plugins
from hydra.types import HydraContext

from optuna_workers import stopping
from optuna_workers.callbacks import Callbacks, StudyInfo
from optuna_workers.errors import SweepError
from optuna_workers.plan import Plan
from optuna_workers.storage import process_identity
from optuna_workers.storage.returned import Returned
from optuna_workers.storage.slots import Claims
from optuna_workers.workers import jobs
from optuna_workers.workers.current_trial import Postponed
from optuna_workers.workers.job import Work, pack
from optuna_workers.workers.process import GRACE
from optuna_workers.workers.runners import Children, Inline, Runner
from optuna_workers.workers.worker import Worker

log = logging.getLogger(__name__)

DIED = re.compile("Terminated|Died|Crashed|Killed|Broken|Lost")
"""Names of errors that say that a worker had started, and is gone."""

MAX_RELAUNCHES = 3
"""How often a launcher may break down without a trial having ended in between."""


class Launched:
    """The workers of one command.

    Args:
        plan: What the command is about.
        work: What is the same for all trials.

    Attributes:
        returned: Hydra's JobReturns of the trials.
        mismatch: What is wrong with the number of values that the task returns, or empty.
        away: What trials need and was away for too long, or empty.
    """

    def __init__(self, plan: Plan, work: Work) -> None:
        self._work = work
        self._early: list[Children] = []
        self._basic = str(work.config.hydra.launcher._target_).endswith("BasicLauncher")
        self._inline = plan.sweeper.isolation == "none"
        self.mismatch = self.away = ""
        self.returned = Returned(plan.directory)

    def start_early(self, plan: Plan, ended: int) -> None:
        """Start the first children, which load libraries while the callbacks open the study."""
        if self._basic and not self._inline:
            plan = self._sized(plan, ended)
            self._early = [Children(plan) for _ in range(plan.n_jobs)]
            for child in self._early:
                child.start()

    def close(self) -> None:
        """End children that were started early and never used."""
        while self._early:
            self._early.pop().kill()

    def run(self, plan: Plan, claims: Claims, study: StudyInfo, callbacks: Callbacks) -> None:
        """Start the workers and wait until they find no more to do.

        Args:
            plan: What the command is about.
            claims: The study's slots.
            study: What callbacks are given.
            callbacks: Called by workers that are threads; jobs make their own.
        """
        plan = self._sized(plan, claims.ended())
        if self._basic:
            self._run_threads(plan, study, callbacks)
        else:
            self._run_jobs(plan, claims)

    def _sized(self, plan: Plan, ended: int) -> Plan:
        """Return the plan with as many workers as there is work for, and what they need."""
        n_jobs = plan.n_jobs
        if self._inline and self._basic and n_jobs > 1:
            log.warning(
                "hydra.sweeper.isolation=none runs trials in this process, one after another: "
                "n_jobs=%d is taken as 1", n_jobs,
            )  # fmt: skip
            n_jobs = 1
        n_jobs = max(1, min(n_jobs, plan.n_trials - ended))
        plan = replace(plan, n_jobs=n_jobs, threads=self._threads(n_jobs))
        return plan if self._inline and self._basic else replace(plan, payload=self._payload)

    @functools.cached_property
    def _payload(self) -> bytes:
        return pack(self._work)

    def _threads(self, n_jobs: int) -> int | None:
        """Return the cores of each child: workers of one machine share it."""
        cores = len(os.sched_getaffinity(0))
        if self._basic or "joblib" in str(self._work.config.hydra.launcher._target_).lower():
            return max(1, cores // n_jobs)
        return None

    # with the basic launcher

    def _run_threads(self, plan: Plan, study: StudyInfo, callbacks: Callbacks) -> None:
        stop = threading.Event()
        runners = [self._runner(plan) for _ in range(plan.n_jobs)]
        self.close()  # others may have taken trials meanwhile
        workers = [
            Worker(plan, f"{plan.session}/{i}", runner, study, callbacks, stop, self.returned)
            for i, runner in enumerate(runners)
        ]
        if self._inline:
            self._watched(workers[0].work)
            return
        threads = [_Thread(worker.work) for worker in workers]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                time.sleep(0.05)
        except KeyboardInterrupt:
            _stop_threads(stop, runners, threads)
            raise
        for thread in threads:
            self._watched(thread.result)

    def _runner(self, plan: Plan) -> Runner:
        if self._inline:
            return Inline(self._work)
        return self._early.pop() if self._early else Children(plan)

    def _watched(self, call: Callable[[], None]) -> None:
        try:
            call()
        except stopping.Mismatch as error:
            self.mismatch = str(error)
        except Postponed as error:
            self.away = str(error)

    # with any other launcher

    def _run_jobs(self, plan: Plan, claims: Claims) -> None:
        relaunches, ended = 0, claims.ended()
        while True:
            try:
                self._launch(plan)
                return
            except Exception as error:  # a worker was killed, and the launcher gave all up
                relaunches = 0 if claims.ended() > ended else relaunches + 1
                ended = claims.ended()
                claims.release_all(plan.session)
                if not _began(claims, plan) and not DIED.search(type(error).__name__):
                    raise self._cannot_start(error) from None
                if ended >= plan.n_trials:
                    return
                if relaunches > MAX_RELAUNCHES:
                    raise
                log.warning("the launcher broke down (%s); starting it again", _short(error))

    def _cannot_start(self, error: Exception) -> SweepError:
        chosen = self._work.config.hydra.runtime.choices["hydra/launcher"]
        return SweepError(
            "hydra/launcher", chosen, f"it cannot start any worker: {_short(error)}",
            "its own settings (hydra.launcher.*), or hydra/launcher=basic",
        )  # fmt: skip

    def _launch(self, plan: Plan) -> None:
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(self._work.context.config_loader, HydraCallbacks()),
            task_function=functools.partial(jobs.run_worker, plan),
            config=jobs.config_of(self._work.config, plan),
        )
        launched = launcher.launch(jobs.overrides_of(plan), 0)
        for job in launched:
            returned, mismatch, away = job.return_value
            self.mismatch, self.away = self.mismatch or mismatch, self.away or away
            for number, packed in returned:
                self.returned.add(number, packed)


def _began(claims: Claims, plan: Plan) -> bool:
    """Return whether any worker of this command has ever had a slot."""
    owners = (process_identity.worker_of(row.owner) for row in claims.rows())
    return any(owner.startswith(f"{plan.session}/") for owner in owners)


class _Thread(threading.Thread):
    """A thread that keeps what its function raised."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._call()
        except BaseException as error:
            self._error = error

    def result(self) -> None:
        if self._error is not None:
            raise self._error


def _stop_threads(stop: threading.Event, runners: list[Runner], threads: list[_Thread]) -> None:
    """Interrupt what runs and wait for it to tidy up; a second Ctrl-C does not wait."""
    stop.set()
    for runner in runners:
        runner.interrupt()
    end = time.monotonic() + GRACE
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
