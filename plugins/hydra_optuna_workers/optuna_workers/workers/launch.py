"""Starts the workers: threads of this process, or one Hydra job each under any launcher."""

from __future__ import annotations

import copy
import functools
import logging
import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hydra._internal.callbacks import Callbacks as HydraCallbacks
from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict, read_write

from optuna_workers import stopping
from optuna_workers.callbacks import Callbacks
from optuna_workers.plan import Plan
from optuna_workers.storage import process_identity
from optuna_workers.storage import study as study_module
from optuna_workers.study_info import describe
from optuna_workers.workers import job as job_module
from optuna_workers.workers.process import GRACE
from optuna_workers.workers.runners import Children, Inline, Runner
from optuna_workers.workers.worker import Worker

if TYPE_CHECKING:
    from optuna_workers.display.watch import Watch
    from optuna_workers.session import Session

log = logging.getLogger(__name__)

MAX_RELAUNCHES = 3
"""How often a launcher may break down without a trial having ended in between."""


class Launched:
    """The workers of one command.

    Args:
        plan: What the command is about.
        work: What is the same for all trials.
    """

    def __init__(self, plan: Plan, work: job_module.Work) -> None:
        self._work = work
        self._early: list[Children] = []
        self._basic = is_basic(work.config.hydra.launcher)
        self._inline = plan.sweeper.isolation == "none"
        self.mismatch = ""

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

    def run(self, session: Session, watch: Watch) -> list[bytes]:
        """Start the workers and wait until they find no more to do."""
        plan = self._sized(session.plan, session.claims.ended())
        started = self._threads_of_ours if self._basic else self._under_launcher
        return started(plan, session)

    def _sized(self, plan: Plan, ended: int) -> Plan:
        """Return the plan with as many workers as there is work for, and what they need."""
        jobs = plan.n_jobs
        if self._inline and self._basic and jobs > 1:
            log.warning(
                "hydra.sweeper.isolation=none runs trials in this process, one after another: "
                "n_jobs=%d is taken as 1", jobs,
            )  # fmt: skip
            jobs = 1
        jobs = max(1, min(jobs, plan.n_trials - ended))
        plan = replace(plan, n_jobs=jobs, threads=self._threads(jobs))
        return plan if self._inline and self._basic else replace(plan, payload=self._payload)

    @functools.cached_property
    def _payload(self) -> bytes:
        return job_module.pack(self._work)

    def _threads(self, jobs: int) -> int | None:
        """Return the cores of each child: workers of one machine share it."""
        cores = len(os.sched_getaffinity(0))
        if self._basic or "joblib" in str(self._work.config.hydra.launcher._target_).lower():
            return max(1, cores // jobs)
        return None

    # with the basic launcher

    def _threads_of_ours(self, plan: Plan, session: Session) -> list[bytes]:
        stop = threading.Event()
        runners = [self._runner(plan) for _ in range(plan.n_jobs)]
        self.close()  # others may have taken trials meanwhile
        workers = [
            Worker(plan, f"{plan.session}/{i}", runner, session.study, session.callbacks, stop)
            for i, runner in enumerate(runners)
        ]
        if self._inline:
            return self._watched(workers[0].work)
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
        return [job for worker in workers for job in worker.jobs]

    def _runner(self, plan: Plan) -> Runner:
        if self._inline:
            return Inline(self._work)
        return self._early.pop() if self._early else Children(plan)

    def _watched(self, call: Any) -> Any:
        try:
            return call()
        except stopping.Mismatch as error:
            self.mismatch = str(error)
            return []

    # with any other launcher

    def _under_launcher(self, plan: Plan, session: Session) -> list[bytes]:
        config = _launcher_config(self._work.config, plan)
        overrides = [
            [*plan.space.examples()[0], *_quiet(f".workers/{plan.session}/{i}")]
            for i in range(plan.n_jobs)
        ]
        relaunches, ended = 0, session.claims.ended()
        while True:
            launcher = Plugins.instance().instantiate_launcher(
                hydra_context=HydraContext(self._work.context.config_loader, HydraCallbacks()),
                task_function=functools.partial(run_loop, plan),
                config=config,
            )
            try:
                found = [job.return_value for job in launcher.launch(overrides, 0)]
                return self._gathered(found)
            except Exception as error:  # a worker was killed, and the launcher gave all up
                relaunches = 0 if session.claims.ended() > ended else relaunches + 1
                ended = session.claims.ended()
                session.claims.release_all(plan.session)
                done = ended >= plan.n_trials
                if done or relaunches > MAX_RELAUNCHES:
                    if done:
                        return []
                    raise
                log.warning("the launcher broke down (%s); starting it again", _short(error))

    def _gathered(self, found: list[tuple[list[bytes], str]]) -> list[bytes]:
        for _, mismatch in found:
            self.mismatch = self.mismatch or mismatch
        return [job for jobs, _ in found for job in jobs]


def is_basic(launcher: DictConfig) -> bool:
    """Return whether jobs would run in this process."""
    return str(launcher._target_).endswith("BasicLauncher")


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"


class _Thread(threading.Thread):
    """A thread that keeps what its function gave or raised."""

    def __init__(self, call: Any) -> None:
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


def _stop_threads(stop: threading.Event, runners: list[Any], threads: list[_Thread]) -> None:
    """Interrupt what runs and wait for it to tidy up; a second Ctrl-C does not wait."""
    stop.set()
    for runner in runners:
        runner.interrupt()
    end = time.monotonic() + GRACE
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def _launcher_config(config: DictConfig, plan: Plan) -> DictConfig:
    """Return the configuration of the worker jobs."""
    config = copy.deepcopy(config)
    launcher = config.hydra.launcher
    with read_write(config), open_dict(config):
        target = str(launcher._target_).lower()
        if "joblib" in target:
            if launcher.n_jobs in (-1, None):
                launcher.n_jobs = plan.n_jobs
            elif launcher.n_jobs < plan.n_jobs:
                log.warning(
                    "hydra.launcher.n_jobs=%d holds fewer workers than hydra.sweeper.n_jobs=%d; "
                    "the others start when one ends", launcher.n_jobs, plan.n_jobs,
                )  # fmt: skip
        elif "ray" in target and (launcher.get("ray") or {}).get("init", {}).get("address"):
            # Ray refuses a size for a cluster that runs already, and the launcher gives one
            launcher.ray.init.object_store_memory = None
    return config


def _quiet(folder: str) -> list[str]:
    """Return overrides that keep a worker's job from looking like a trial."""
    return [
        f"hydra.sweep.subdir='{folder}'",
        "hydra.job.chdir=false",
        "hydra/job_logging=none",
        "hydra.output_subdir=null",
    ]


def run_loop(plan: Plan, config: DictConfig) -> tuple[list[bytes], str]:
    """Run one worker as a Hydra job; return its trials' JobReturns, and a mismatch if any.

    Args:
        plan: What the command is about.
        config: The job's own configuration, not used.
    """
    try:
        return _looped(plan)
    finally:
        if process_identity.is_dead(
            plan.owner
        ):  # nobody takes the result: joblib's process would stay
            os._exit(0)


def _looped(plan: Plan) -> tuple[list[bytes], str]:
    claims = study_module.claims_of(study_module.open_storage(plan.url), plan.name)
    study = describe(plan, claims)
    runner = Children(plan) if plan.sweeper.isolation == "process" else Inline.unpacked(plan)
    name = f"{plan.session}/{os.getpid()}"
    worker = Worker(
        plan, name, runner, study, Callbacks.build(plan.sweeper.callbacks), threading.Event()
    )
    try:
        return worker.work(), ""
    except stopping.Mismatch as error:
        return worker.jobs, str(error)
