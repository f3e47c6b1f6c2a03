"""One trial as a Hydra job, in this process."""

from __future__ import annotations

import contextlib
import math
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cloudpickle
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from optuna_workers import checks
from optuna_workers.masking import without_password
from optuna_workers.storage import disks
from optuna_workers.workers import current_trial, hydra_folder, output
from optuna_workers.workers.current_trial import Postponed, SweepTrial
from optuna_workers.workers.process import Reply, Request


@dataclass(frozen=True)
class Work:
    """What is the same for all trials."""

    context: HydraContext
    config: DictConfig
    task: TaskFunction


class TaskExit(Exception):
    """The task called ``sys.exit``."""


def pack(work: Work) -> bytes:
    """Pickle for a child; functions of ``__main__`` and closures travel by value."""
    return cloudpickle.dumps((work, Singleton.get_state()))


def unpack(payload: bytes) -> Work:
    """Return what was packed, and put Hydra of this process into the state of that time.

    Looking for plugins runs their modules again. That comes first: what is unpickled has the
    classes of their configurations, and cannot be pickled, by a callback, if there are newer ones.
    """
    plugins = Plugins.instance()
    work, singletons = cloudpickle.loads(payload)
    singletons["instances"][Plugins] = plugins
    Singleton.set_state(singletons)
    setup_globals()
    _name_classes_of_main()
    return work


def _name_classes_of_main() -> None:
    """Let classes of the application's ``__main__``, which travel by value, be pickled by name."""
    main = sys.modules["__main__"]
    known = getattr(cloudpickle.cloudpickle, "_DYNAMIC_CLASS_TRACKER_BY_ID", {})
    for kind in list(known.values()):
        if kind.__module__ == "__main__" and not hasattr(main, kind.__name__):
            setattr(main, kind.__name__, kind)


def serve(connection: Connection) -> None:
    """Run the trials that come down a connection."""
    work = unpack(connection.recv_bytes())
    preload(work.config)
    while True:
        request = connection.recv()

        def ask(kind: str, *arguments: Any) -> Any:
            connection.send((kind, *arguments))
            return connection.recv() if kind == "should_prune" else None

        connection.send(("ended", run(work, request, ask)))


def preload(config: DictConfig) -> None:
    """Call what ``hydra.sweeper.preload`` names, before the first trial is there."""
    if wanted := checks.function(config.hydra.sweeper, "preload"):
        with contextlib.suppress(Exception):  # a trial that needs it fails by it, and says so
            wanted(config)


def run(work: Work, request: Request, ask: current_trial.Ask) -> Reply:
    """Compose a trial's configuration and run the task on it."""
    outcome: dict[str, Any] = {}
    hydra_folder.mask_saved()
    begun = time.monotonic()
    try:
        config = work.context.config_loader.load_sweep_config(work.config, request.overrides)
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = request.number
            config.hydra.sweep.subdir = hydra_folder.fitting(str(config.hydra.sweep.subdir))
        directory = Path(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)).absolute()
        outcome["directory"] = directory
        ask("directory", str(directory))
        trial = SweepTrial(
            request.number, request.study_name, request.params, request.shared, directory, ask
        )
        with output.to_file(request.output, directory), _current(trial):
            job = run_job(
                hydra_context=work.context,
                task_function=_caught(work, outcome),
                config=config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
            if "state" not in outcome:
                outcome.update(_judged(job, request.directions))
            if error := outcome.get("error"):
                print(without_password(error.rstrip()), file=sys.stderr)
    except KeyboardInterrupt:
        return Reply("INTERRUPTED", directory=str(outcome.get("directory", "")))
    except Exception as error:  # a configuration that does not compose, a folder not made
        job = None
        outcome.update(_ended_by(error, work))
    finally:
        output.close_logs(work.config)
    return Reply(
        outcome["state"],
        outcome.get("values"),
        error=without_password(outcome.get("error", "")),
        directory=str(outcome.get("directory", "")),
        seconds=time.monotonic() - begun,
        waited=outcome.get("waited", 0.0),
        job=_pickled(job) if job and outcome["state"] != "POSTPONED" else None,
    )


def _caught(work: Work, outcome: dict[str, Any]) -> TaskFunction:
    """Wrap a task: Hydra takes a pruned trial for a failure, and lets ``sys.exit`` through."""

    def call(config: DictConfig) -> Any:
        try:
            return work.task(config)
        except KeyboardInterrupt:
            raise
        except Postponed as error:
            outcome.update(state="POSTPONED", error=str(error), waited=error.waited)
            raise
        except SystemExit as error:
            outcome.update(state="FAIL", error=traceback.format_exc())
            raise TaskExit(f"the task called sys.exit({error.code!r})") from error
        except BaseException as error:
            if any(kind.__name__ == "TrialPruned" for kind in type(error).__mro__):
                outcome["state"] = "PRUNED"
                return None
            outcome.update(_ended_by(error, work))
            raise

    return call


def _ended_by(error: BaseException, work: Work) -> dict[str, Any]:
    """Return how a trial ends by an error: a full disk would take all others' slots as well."""
    if _is_interruption(error):
        return {"state": "INTERRUPTED"}
    if disks.is_everyones(error):
        places = {"hydra.sweep.dir": work.config.hydra.sweep.dir, "TMPDIR": disks.temporary()}
        told = disks.trouble(error, places)
        return {"state": "POSTPONED", "error": told, "waited": float("inf")}
    return {"state": "FAIL", "error": traceback.format_exc()}


def _is_interruption(error: BaseException | None) -> bool:
    """Return whether an error came up while a KeyboardInterrupt was on its way, and hides it.

    A library's own tidying up may fail half-way, as OmegaConf's does.
    """
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _judged(job: JobReturn, directions: int) -> dict[str, Any]:
    """Take the returned value for the objective, or say why it cannot be."""
    returned = job._return_value
    several = isinstance(returned, Sequence) and not isinstance(returned, str)
    values = list(returned) if several else [returned]
    if returned is None or (len(values) == directions and not all(map(_is_number, values))):
        return {"state": "FAIL", "error": f"the task returned {returned!r}, not a number"}
    if len(values) != directions:
        told = f"the task returned {len(values)} value(s) for {directions} direction(s)"
        return {"state": "MISMATCH", "error": told}
    return {"state": "COMPLETE", "values": [float(value) for value in values]}


def _is_number(value: Any) -> bool:
    try:
        return not math.isnan(float(value))
    except (TypeError, ValueError):
        return False


def _pickled(job: JobReturn) -> bytes:
    """Pickle what Hydra returned; an error or a value that cannot travel becomes its text."""
    try:
        packed = cloudpickle.dumps(job)
        if not _is_number(job._return_value):  # many exceptions pickle, but do not unpickle
            cloudpickle.loads(packed)
        return packed
    except Exception:
        text = repr(job._return_value)
        job._return_value = RuntimeError(text) if job.status == JobStatus.FAILED else text
        return cloudpickle.dumps(job)


@contextlib.contextmanager
def _current(trial: SweepTrial) -> Iterator[None]:
    current_trial.set_current(trial)
    try:
        yield
    finally:
        current_trial.set_current(None)
