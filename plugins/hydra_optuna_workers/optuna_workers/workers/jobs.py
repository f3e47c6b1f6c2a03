"""A worker as a Hydra job: what a launcher such as joblib, Ray or submitit is given to run."""

from __future__ import annotations

import copy
import logging
import os
import threading

from omegaconf import DictConfig, open_dict, read_write

from optuna_workers import stopping
from optuna_workers.callbacks import Callbacks
from optuna_workers.callbacks.study_info import describe
from optuna_workers.plan import Plan
from optuna_workers.storage import process_identity, studies
from optuna_workers.storage.returned import Returned
from optuna_workers.workers.current_trial import Postponed
from optuna_workers.workers.runners import Children, Inline
from optuna_workers.workers.worker import Worker

log = logging.getLogger(__name__)


def run_worker(plan: Plan, config: DictConfig) -> tuple[list[tuple[int, bytes]], str, str]:
    """Run one worker as a Hydra job.

    Returns:
        Its trials' numbers and JobReturns, pickled; a mismatch if any; what was away for too
        long, if anything.

    Args:
        plan: What the command is about.
        config: The job's own configuration, not used.
    """
    returned = Returned(plan.directory)
    try:
        mismatch, away = _worked(plan, returned)
        return list(returned.packed()), mismatch, away
    finally:
        if process_identity.is_dead(plan.owner):
            os._exit(0)  # nobody takes the result: joblib's process would stay


def overrides_of(plan: Plan) -> list[list[str]]:
    """Return each worker's overrides, which keep its job from looking like a trial."""
    example = plan.space.examples()[0]
    return [
        [
            *example,
            f"hydra.sweep.subdir='.workers/{plan.session}/{i}'",
            "hydra.job.chdir=false",
            "hydra/job_logging=none",
            "hydra.output_subdir=null",
        ]
        for i in range(plan.n_jobs)
    ]


def config_of(config: DictConfig, plan: Plan) -> DictConfig:
    """Return the configuration of the workers' jobs."""
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


def _worked(plan: Plan, returned: Returned) -> tuple[str, str]:
    claims = studies.claims_of(studies.open_storage(plan.url, patient=True), plan.name)
    study = describe(plan, claims)
    runner = Children(plan) if plan.sweeper.isolation == "process" else Inline.unpacked(plan)
    callbacks = Callbacks.build(plan.sweeper.callbacks)
    name = f"{plan.session}/{os.getpid()}"
    worker = Worker(plan, name, runner, study, callbacks, threading.Event(), returned)
    try:
        worker.work()
        return "", ""
    except stopping.Mismatch as error:
        return str(error), ""
    except Postponed as error:
        return "", str(error)
