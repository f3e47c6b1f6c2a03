"""One command's part in a study, from its arguments to its results."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import signal
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cloudpickle
import optuna
from hydra.errors import CompactHydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from optuna_workers import request, results, stopping, study_info
from optuna_workers.callbacks import Callbacks, StudyInfo
from optuna_workers.display.watch import Watch
from optuna_workers.plan import Plan, key_of
from optuna_workers.request import Asked
from optuna_workers.storage import location
from optuna_workers.storage import study as study_module
from optuna_workers.storage.location import Place
from optuna_workers.storage.slots import SLOTS, Claims
from optuna_workers.study_info import describe
from optuna_workers.workers import job as job_module
from optuna_workers.workers import launch

log = logging.getLogger(__name__)


@dataclass
class Session:
    """A command, its study, and what watches it."""

    plan: Plan
    claims: Claims
    study: StudyInfo
    callbacks: Callbacks
    launched: launch.Launched


def sweep(
    context: HydraContext, task: TaskFunction, config: DictConfig, arguments: list[str]
) -> list[list[Any]]:
    """Run what is left of the study that a command names."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    config = copy.deepcopy(config)
    asked = request.read(context, config.hydra.sweeper, arguments)
    where, over = _find(config, asked)
    if over:
        study_module.create(where, asked.space, asked.directions)  # refuses if it is another space
        log.warning("%s is finished; nothing to do. A larger n_trials extends it.", where.name)
        return [[]]
    location.warn_of_time(config)
    location.fix(config, where)
    example = request.composed(context, config, asked.space)
    storage, before = study_module.create(where, asked.space, asked.directions)
    lease = config.hydra.sweeper.lease_seconds
    claims = study_module.claims_of(storage, where.name, lease=lease)
    where.directory.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, where.directory / "multirun.yaml")
    plan = _plan(asked, where, claims, config.hydra.sweeper, example)
    callbacks = Callbacks.build(config.hydra.sweeper.callbacks)
    return _run(plan, claims, callbacks, job_module.Work(context, config, task), before)


def _find(config: DictConfig, asked: Asked) -> tuple[Place, bool]:
    """Return the study to work on, and whether nothing is left to do in it."""
    cwd = Path(str(config.hydra.runtime.cwd))
    sweeper = config.hydra.sweeper
    if sweeper.study_name is not None:
        where = location.place(config, str(sweeper.study_name), cwd)
        return where, study_module.is_over(where, asked.total, stopped=False)
    job, custom = str(config.hydra.job.name), sweeper.custom_search_space
    first = location.default_name(job, asked.space, asked.directions, custom)
    number = 1
    while True:
        name = first if number == 1 else f"{first}-{number}"
        where = location.place(config, name, cwd)
        if not study_module.is_over(where, asked.total, stopped=True):
            return where, False
        number += 1


def _plan(
    asked: Asked, where: Place, claims: Claims, sweeper: DictConfig, example: DictConfig
) -> Plan:
    resolved: Any = OmegaConf.create(OmegaConf.to_container(sweeper, resolve=True))
    return Plan(
        session=uuid.uuid4().hex[:12],
        owner=claims.owner,
        name=where.name,
        identity=claims.once("identity", lambda: uuid.uuid4().hex),
        url=where.url,
        directory=where.directory,
        space=asked.space,
        enumerated=asked.enumerated,
        enqueue=asked.enqueue,
        directions=tuple(asked.directions),
        n_trials=asked.total,
        n_jobs=sweeper.n_jobs or 1,
        deadline=claims.now() + sweeper.timeout if sweeper.timeout else None,
        threads=None,
        sweeper=resolved,
        config=example,
        shared={},
        payload=b"",
    )


def _run(
    plan: Plan, claims: Claims, callbacks: Callbacks, work: job_module.Work, before: bool
) -> list[list[Any]]:
    launched = launch.Launched(plan, work)
    with claims.session(plan.session), contextlib.closing(launched):
        launched.start_early(plan, claims.ended())
        study = describe(plan, claims)
        shared = claims.once("study_start", lambda: callbacks.study_start(study))
        first = json.loads(shared.get("enqueue", "[]"))
        points = tuple(plan.space.check(point) for point in first)
        plan = replace(plan, shared=shared, enqueue=_distinct(points + plan.enqueue))
        study = describe(plan, claims)
        callbacks.session_start(study)
        session = Session(plan, claims, study, callbacks, launched)
        if before:
            _say_resumed(session)
        try:
            return _work_off(session)
        finally:
            _finish(session)


def _distinct(points: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple({key_of(point): point for point in points}.values())


def _say_resumed(session: Session) -> None:
    plan = session.plan
    does = "joining" if session.claims.others(plan.session) else "resuming"
    log.warning(
        "%s %s: %d of %d trials have ended", does, plan.name, session.claims.ended(), plan.n_trials
    )


def _work_off(session: Session) -> list[list[Any]]:
    """Start workers until every slot has ended, here or elsewhere."""
    jobs: list[bytes] = []
    with _terminable(), Watch(session.plan, session.claims) as watch:
        while True:
            try:
                jobs += session.launched.run(session, watch)
            except KeyboardInterrupt:
                log.warning("interrupted; the same command goes on with %s", session.plan.name)
                raise
            finally:  # of workers that a launcher ended, or that could not tidy up
                session.claims.release_all(session.plan.session)
            if session.launched.mismatch or stopping.reason(session.claims, session.plan):
                break
            if not watch.wait_for_others():
                break
    if session.launched.mismatch:
        raise CompactHydraException(
            f"hydra.sweeper.direction={list(session.plan.directions)}: "
            f"{session.launched.mismatch}; return one value per direction"
        )
    _complain(session)
    found = [cloudpickle.loads(job) for job in jobs]
    return [sorted(found, key=lambda job: job.hydra_cfg.hydra.job.num)]


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C, as a machine that is taken away sends it; give trials back."""
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield  # the application has its own idea
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _complain(session: Session) -> None:
    """Say why the sweep stopped early; too many failures are an error."""
    reason = stopping.reason(session.claims, session.plan)
    failed = session.claims.counts().get("FAIL", 0)
    if reason and failed > session.plan.sweeper.max_failure_rate * session.plan.n_trials:
        _note_stop(session, reason)
        worst = session.claims.rows(SLOTS.c.state == "FAIL")[-1]
        last = study_info.facts_of(worst)["error"].strip().splitlines()[-1:]
        raise CompactHydraException(f"{reason}; the last: {''.join(last)}")
    if reason and session.claims.ended() < session.plan.n_trials:
        log.warning("stopped: %s", reason)
        if "patience" in reason:
            _note_stop(session, reason)


def _note_stop(session: Session, reason: str) -> None:
    """Keep why a study is over, so that the same command starts a new one."""
    session.study.load().set_user_attr(study_module.STOPPED, reason)


def _finish(session: Session) -> None:
    """Write the results of what has ended so far."""
    stopped = session.launched.mismatch or stopping.reason(session.claims, session.plan)
    study = describe(session.plan, session.claims, stopped)
    results.write(study.directory / "optimization_results.yaml", study.load())
    if study.finished:  # several machines see the last trial end
        key = study_module.end_of(session.claims.ended())
        session.claims.once(key, lambda: session.callbacks.study_end(study), wait=False)
    else:
        session.callbacks.study_end(study)
