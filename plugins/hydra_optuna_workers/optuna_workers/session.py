"""One command's part in a study, from its arguments to its results."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import optuna
from hydra.errors import CompactHydraException, HydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from optuna_workers import checks, request, results, stopping
from optuna_workers.callbacks import Callbacks, StudyInfo
from optuna_workers.callbacks.study_info import describe
from optuna_workers.display.watch import Watch
from optuna_workers.errors import StorageAway, SweepPostponed
from optuna_workers.plan import Plan, key_of
from optuna_workers.request import SweepRequest
from optuna_workers.storage import disks, location, studies
from optuna_workers.storage.location import Location
from optuna_workers.storage.notes import N_TRIALS
from optuna_workers.storage.retry import patiently
from optuna_workers.storage.slots import SLOTS, Claims, read_facts
from optuna_workers.workers import signals
from optuna_workers.workers.current_trial import Postponed
from optuna_workers.workers.job import Work
from optuna_workers.workers.launch import Launched

log = logging.getLogger(__name__)

UNRELEASED = ".unreleased-"
"""Prefix of files in the study's folder: of commands that ended while the database was away."""

MAX_IDLE = 10
"""How often workers may end without any slot having come nearer to its end."""


@dataclass
class Session:
    """A command, its study, and its workers."""

    plan: Plan
    claims: Claims
    study: StudyInfo
    callbacks: Callbacks
    launched: Launched


def sweep(
    context: HydraContext, task: TaskFunction, config: DictConfig, arguments: list[str]
) -> list[Sequence[Any]]:
    """Run what is left of the study that a command names.

    Raises:
        SweepPostponed: a disk is full or cannot be written.
    """
    try:
        return _sweep(context, task, config, arguments)
    except HydraException:
        raise
    except Exception as error:
        places = {"hydra.sweep.dir": config.hydra.sweep.dir, "TMPDIR": disks.temporary()}
        if message := disks.trouble(error, places):
            raise SweepPostponed(message) from None
        raise


def _sweep(
    context: HydraContext, task: TaskFunction, config: DictConfig, arguments: list[str]
) -> list[Sequence[Any]]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    config = copy.deepcopy(config)
    checks.launcher(config.hydra.launcher)
    asked = request.read(context, config.hydra.sweeper, arguments)
    where, over = studies.find(config, asked.space, asked.directions, asked.total)
    if over:
        studies.create(where, asked.space, asked.directions)  # refuses if it is another space
        log.warning("%s is finished; nothing to do. A larger n_trials extends it.", where.name)
        return [[]]
    location.warn_of_time(config)
    location.fix(config, where)
    example = request.compose_examples(context, config, asked.space)
    location.make_folder(where)
    storage, before = studies.create(where, asked.space, asked.directions)
    lease = config.hydra.sweeper.lease_seconds
    claims = studies.claims_of(storage, where.name, lease=lease)
    results.save_whole(config, where.directory / "multirun.yaml")
    plan = _plan(asked, where, claims, config.hydra.sweeper, example)
    callbacks = Callbacks.build(config.hydra.sweeper.callbacks)
    try:
        with signals.handled():
            return _run(plan, claims, callbacks, Work(context, config, task), before)
    except StorageAway:
        _note_for_later(plan)
        raise
    except Postponed as error:  # of a callback: what it needs was away for too long
        raise _postponed(str(error), plan) from None


def _plan(
    asked: SweepRequest, where: Location, claims: Claims, sweeper: DictConfig, example: DictConfig
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
    plan: Plan, claims: Claims, callbacks: Callbacks, work: Work, before: bool
) -> list[Sequence[Any]]:
    launched = Launched(plan, work)
    claims.keep(N_TRIALS, plan.n_trials)
    with claims.session(plan.session), contextlib.closing(launched):
        _give_back_for_earlier(plan, claims)
        launched.start_early(plan, claims.ended())
        session = None
        try:
            with signals.deferred():  # what callbacks open, somebody must know, to close it
                session = _opened(plan, claims, callbacks, launched)
            session.plan = replace(session.plan, enqueue=_first_points(session.plan))
            callbacks.session_start(session.study)
            if before:
                _log_resumed(session)
            return _work_off(session)
        finally:
            if session is not None:
                _finish(session)


def _opened(plan: Plan, claims: Claims, callbacks: Callbacks, launched: Launched) -> Session:
    study = describe(plan, claims)
    shared = claims.once("study_start", lambda: callbacks.study_start(study))
    plan = replace(plan, shared=shared)
    return Session(plan, claims, describe(plan, claims), callbacks, launched)


def _first_points(plan: Plan) -> tuple[Any, ...]:
    """Return the points that callbacks and configuration want first, each once."""
    first = [plan.space.check(point) for point in json.loads(plan.shared.get("enqueue", "[]"))]
    return tuple({key_of(point): point for point in (*first, *plan.enqueue)}.values())


def _log_resumed(session: Session) -> None:
    plan, claims = session.plan, session.claims
    others = set(claims.sessions()) - {plan.session}
    does = "joining" if others else "resuming"
    log.warning(
        "%s %s: %d of %d trials have ended", does, plan.name, claims.ended(), plan.n_trials
    )


def _work_off(session: Session) -> list[Sequence[Any]]:
    """Start workers until every slot has ended, here or elsewhere."""
    plan, claims, launched = session.plan, session.claims, session.launched
    idle, known = 0, _progress(claims)
    with Watch(plan, claims) as watch:
        while True:
            try:
                launched.run(plan, claims, session.study, session.callbacks)
            except KeyboardInterrupt:
                log.warning("interrupted; the same command goes on with %s", plan.name)
                raise
            finally:  # of workers that a launcher ended, or that could not tidy up
                claims.release_all(plan.session)
            if launched.mismatch or launched.away or stopping.reason(claims, plan):
                break
            if not watch.wait_for_others():
                break
            before, known = known, _progress(claims)
            idle = idle + 1 if known == before else 0
            _check_progress(idle, plan)
    if launched.mismatch:
        raise CompactHydraException(
            f"hydra.sweeper.direction={list(plan.directions)}: {launched.mismatch}; "
            "return one value per direction"
        )
    if launched.away:
        raise _postponed(launched.away, plan)
    _report_stop(session)
    return [launched.returned]


def _note_for_later(plan: Plan) -> None:
    """Note beside the trials that this command's slots are free: its database is away."""
    with contextlib.suppress(OSError):  # the folder may be gone with it
        (plan.directory / f"{UNRELEASED}{plan.session}").touch()


def _give_back_for_earlier(plan: Plan, claims: Claims) -> None:
    """Give back, at no cost of an attempt, what earlier commands could not."""
    for note in plan.directory.glob(f"{UNRELEASED}*"):
        claims.release_all(note.name.removeprefix(UNRELEASED))
        note.unlink(missing_ok=True)


def _postponed(reason: str, plan: Plan) -> SweepPostponed:
    return SweepPostponed(f"{reason}; the same command goes on with {plan.name}")


def _progress(claims: Claims) -> list[tuple[Any, ...]]:
    """Return what changes when a slot comes nearer to its end."""
    return [(row.slot, row.state, row.attempt, row.trial) for row in claims.rows()]


def _check_progress(idle: int, plan: Plan) -> None:
    """End a sweep whose workers find no trial to run although slots are left; wait in between."""
    if idle >= MAX_IDLE:
        raise CompactHydraException(
            f"{plan.name}: workers were started {idle} times and ran no trial, although slots are "
            "left; the same command goes on. python -m optuna_workers shows who holds them"
        )
    if idle:
        time.sleep(0.5)


def _report_stop(session: Session) -> None:
    """Say why the sweep stopped early; too many failures are an error."""
    plan, claims = session.plan, session.claims
    reason = stopping.reason(claims, plan)
    if reason and stopping.has_too_many(claims.counts().get("FAIL", 0), plan):
        _keep_stop(session, reason)
        worst = claims.rows(SLOTS.c.state == "FAIL")[-1]
        last = read_facts(worst)["error"].strip().splitlines()[-1:]
        raise CompactHydraException(f"{reason}; the last: {''.join(last)}")
    if reason and claims.ended() < plan.n_trials:
        log.warning("stopped: %s", reason)
        if "patience" in reason:
            _keep_stop(session, reason)


@patiently
def _write_results(study: StudyInfo) -> None:
    results.write(study.directory / "optimization_results.yaml", study.load())


@patiently
def _keep_stop(session: Session, reason: str) -> None:
    """Keep why a study is over, so that the same command starts a new one."""
    session.study.load().set_user_attr(studies.STOPPED, reason)


def _finish(session: Session) -> None:
    """Write the results of what has ended so far, and call ``on_study_end``."""
    plan, claims, callbacks = session.plan, session.claims, session.callbacks
    launched = session.launched
    try:
        stopped = launched.mismatch or launched.away or stopping.reason(claims, plan)
        study = describe(plan, claims, stopped)
        _write_results(study)
    except StorageAway:  # what the callbacks have elsewhere is ended all the same
        with contextlib.suppress(StorageAway):
            callbacks.study_end(session.study)
        raise
    if study.finished:  # several machines see the last trial end
        key = studies.end_of(claims.ended())
        claims.once(key, lambda: callbacks.study_end(study), wait=False)
    else:
        callbacks.study_end(study)
