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
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import CompactHydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from hydra_plugins.optuna_workers import (
    _check,
    _job,
    _launch,
    _results,
    _samplers,
    _space,
    _stop,
    _study,
)
from hydra_plugins.optuna_workers._callbacks import Callbacks, StudyInfo
from hydra_plugins.optuna_workers._claims import ENDED, SLOTS, Claims
from hydra_plugins.optuna_workers._describe import describe
from hydra_plugins.optuna_workers._plan import Plan, key_of
from hydra_plugins.optuna_workers._space import Space
from hydra_plugins.optuna_workers._study import Place
from hydra_plugins.optuna_workers._watch import Watch

log = logging.getLogger(__name__)

DEFAULT_TRIALS = 20


@dataclass
class Session:
    """A command, its study, and what watches it."""

    plan: Plan
    claims: Claims
    study: StudyInfo
    callbacks: Callbacks
    launched: _launch.Launched

    def ended(self) -> int:
        """Return how many slots have ended."""
        counts = self.claims.counts()
        return sum(counts.get(state, 0) for state in ENDED)


def sweep(
    context: HydraContext, task: TaskFunction, config: DictConfig, arguments: list[str]
) -> list[list[Any]]:
    """Run what is left of the study that a command names."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    config = copy.deepcopy(config)
    sweeper = config.hydra.sweeper
    _check.settings(sweeper)
    directions = _check.directions(sweeper)
    parser = OverridesParser.create(config_loader=context.config_loader)
    space = _space.read(arguments, sweeper.params or {}, sweeper.when or {}, parser)
    enumerated = _check.enumerates(sweeper, space)
    _samplers.make_pruner(sweeper.pruner, directions)
    _check.custom_space(sweeper.custom_search_space)
    if not enumerated:
        _samplers.check_sampler(sweeper.sampler, directions, conditional=bool(space.conditions))
    if sweeper.n_trials is None and not enumerated:
        log.info("hydra.sweeper.n_trials is not set: %d trials", DEFAULT_TRIALS)
    total = sweeper.n_trials or (len(space) if enumerated else DEFAULT_TRIALS)
    total = min(total, len(space)) if enumerated else total
    where, over = _find(config, space, directions, total)
    if over:
        _study.create(where, space, directions)  # refuses if what is finished is another space
        log.warning("%s is finished; nothing to do. A larger n_trials extends it.", where.name)
        return [[]]
    _warn_of_time(config)
    _fix_places(config, where)
    composed = _composed(context, config, space)
    points = tuple(space.check(point) for point in _resolved(sweeper).enqueue or ())
    storage, before = _study.create(where, space, directions)
    claims = _study.claims_of(storage, where.name, lease=sweeper.lease_seconds)
    where.directory.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, where.directory / "multirun.yaml")
    plan = Plan(
        session=uuid.uuid4().hex[:12],
        name=where.name,
        identity=claims.once("identity", lambda: uuid.uuid4().hex),
        url=where.url,
        directory=where.directory,
        space=space,
        enumerated=enumerated,
        enqueue=points,
        directions=tuple(directions),
        n_trials=total,
        n_jobs=sweeper.n_jobs or 1,
        deadline=claims.now() + sweeper.timeout if sweeper.timeout else None,
        threads=None,
        sweeper=_resolved(sweeper),
        config=composed,
        shared={},
        payload=b"",
    )
    callbacks = Callbacks.build(sweeper.callbacks)
    work = _job.Work(context, config, task)
    return _run(plan, claims, callbacks, work, before)


def _find(
    config: DictConfig, space: Space, directions: list[str], total: int
) -> tuple[Place, bool]:
    """Return the study to work on, and whether nothing is left to do in it."""
    cwd = Path(str(config.hydra.runtime.cwd))
    sweeper = config.hydra.sweeper
    if sweeper.study_name is not None:
        where = _study.place(config, str(sweeper.study_name), cwd)
        return where, _study.is_over(where, total, stopped=False)
    first = _study.default_name(
        str(config.hydra.job.name), space, directions, sweeper.custom_search_space
    )
    number = 1
    while True:
        name = first if number == 1 else f"{first}-{number}"
        where = _study.place(config, name, cwd)
        if not _study.is_over(where, total, stopped=True):
            return where, False
        number += 1


def _warn_of_time(config: DictConfig) -> None:
    """Say so if the same command would look for its study elsewhere next time."""
    raw: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    if config.hydra.sweeper.storage is None and "now:" in str(raw["dir"]):
        log.warning(
            "hydra.sweep.dir holds the time, so the same command will not resume this study: set "
            "hydra.sweeper.storage, or hydra.sweep.dir to 'sweeps/${hydra.sweeper.study_name}'"
        )


def _fix_places(config: DictConfig, where: Place) -> None:
    """Make every job compose with this study's name and an absolute directory."""
    fixed = [
        f"hydra.sweeper.study_name={_quoted(where.name)}",
        f"hydra.sweep.dir={_quoted(str(where.directory))}",
    ]
    # as text: an override may name ${hydra.job.num}, which is known in a job only
    given: Any = OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False)
    with read_write(config), open_dict(config):
        config.hydra.overrides.hydra = [*given, *fixed]
        config.hydra.sweep.dir = str(where.directory)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _composed(context: HydraContext, config: DictConfig, space: Space) -> DictConfig:
    """Compose a few of the points, so that a wrong key is known before the first trial."""
    examples = space.examples()
    for overrides in examples[1:]:
        context.config_loader.load_sweep_config(config, overrides)
    return context.config_loader.load_sweep_config(config, examples[0])


def _resolved(sweeper: DictConfig) -> DictConfig:
    return OmegaConf.create(OmegaConf.to_container(sweeper, resolve=True))  # type: ignore


def _run(
    plan: Plan, claims: Claims, callbacks: Callbacks, work: _job.Work, before: bool
) -> list[list[Any]]:
    with claims.session(plan.session):
        study = describe(plan, claims)
        shared = claims.once("study_start", lambda: callbacks.study_start(study))
        first = json.loads(shared.get("enqueue", "[]"))
        points = tuple(plan.space.check(point) for point in first)
        plan = replace(plan, shared=shared, enqueue=_distinct(points + plan.enqueue))
        study = describe(plan, claims)
        callbacks.session_start(study)
        session = Session(plan, claims, study, callbacks, _launch.Launched(plan, work))
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
        "%s %s: %d of %d trials have ended", does, plan.name, session.ended(), plan.n_trials
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
            if session.launched.mismatch or _stop.reason(session.claims, session.plan):
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
    reason = _stop.reason(session.claims, session.plan)
    failed = session.claims.counts().get("FAIL", 0)
    if reason and failed > session.plan.sweeper.max_failure_rate * session.plan.n_trials:
        _note_stop(session, reason)
        worst = session.claims.rows(SLOTS.c.state == "FAIL")[-1]
        last = _stop.facts_of(worst)["error"].strip().splitlines()[-1:]
        raise CompactHydraException(f"{reason}; the last: {''.join(last)}")
    if reason and session.ended() < session.plan.n_trials:
        log.warning("stopped: %s", reason)
        if "patience" in reason:
            _note_stop(session, reason)


def _note_stop(session: Session, reason: str) -> None:
    """Keep why a study is over, so that the same command starts a new one."""
    session.study.load().set_user_attr(_study.STOPPED, reason)


def _finish(session: Session) -> None:
    """Write the results of what has ended so far."""
    stopped = session.launched.mismatch or _stop.reason(session.claims, session.plan)
    study = describe(session.plan, session.claims, stopped)
    _results.write(study.directory / "optimization_results.yaml", study.load())
    if study.finished:  # several machines see the last trial end
        key = _study.end_of(session.ended())
        session.claims.once(key, lambda: session.callbacks.study_end(study), wait=False)
    else:
        session.callbacks.study_end(study)
