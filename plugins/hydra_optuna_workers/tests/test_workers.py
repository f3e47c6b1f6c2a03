"""Workers do not wait for each other; their children are warm, replaced and never left."""

from __future__ import annotations

import os

import psutil
import pytest
from optuna.trial import TrialState

from tests.processes import eventually
from tests.stage import Stage

NAMED, TWO = "hydra.sweeper.study_name=s", "hydra.sweeper.n_jobs=2"


def test_workers_do_not_wait_for_each_other(stage: Stage) -> None:
    """One slow task keeps one worker; the other runs all the rest meanwhile."""
    condition = "+hydra.sweeper.when={x: {does: return}}"
    stage.run("does=waits,return", "x=1,2,3,4,5", condition, NAMED, TWO)
    assert [trial.state for trial in stage.trials()] == [TrialState.COMPLETE] * 6
    slow = next(span for span in stage.spans() if span.params["does"] == "waits")
    rest = [span for span in stage.spans() if span is not slow and span.trial != slow.trial]
    assert len(rest) == 5 and slow.pid not in {span.pid for span in rest}


def test_a_child_is_replaced_after_as_many_trials_as_are_allowed(stage: Stage) -> None:
    stage.run("x=range(0,7)", NAMED, "hydra.sweeper.max_trials_per_worker=3")
    by_pid: dict[int, int] = {}
    for span in stage.spans():
        by_pid[span.pid] = by_pid.get(span.pid, 0) + 1
    assert list(by_pid.values()) == [3, 3, 1]


PRELOADED = "hydra.sweeper.preload=stub.preload"


def preloaded(stage: Stage) -> set[int]:
    """Return the processes that were told to load."""
    return {int(file.suffix[1:]) for file in stage.folder.glob("preloaded.*")}


def test_children_load_libraries_while_the_study_is_opened(stage: Stage) -> None:
    """Each once, and before the first trial: the callback waits for them."""
    callback = "+hydra.sweeper.callbacks.h={_target_: heard.Heard, wait_for: 'preloaded.*'}"
    stage.run("x=range(0,6)", "sleep=0.2", NAMED, TWO, PRELOADED, callback)
    assert preloaded(stage) == {span.pid for span in stage.spans()}
    assert len(preloaded(stage)) == 2


def test_what_cannot_be_loaded_costs_no_trial_that_works_without(stage: Stage) -> None:
    stage.run("x=1", NAMED, PRELOADED, "does=unloadable")
    assert len(preloaded(stage)) == 1
    assert [trial.state for trial in stage.trials()] == [TrialState.COMPLETE]


@pytest.mark.slow
def test_children_do_not_outlive_a_study_that_cannot_be_opened(stage: Stage) -> None:
    callback = "+hydra.sweeper.callbacks.h={_target_: heard.Heard, wait_for: 'preloaded.*'}"
    broken = "+hydra.sweeper.callbacks.i={_target_: heard.Heard, slow: none}"
    process = stage.start("x=1", NAMED, PRELOADED, callback, broken)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert len(preloaded(stage)) == 1
    assert eventually(lambda: not any(psutil.pid_exists(pid) for pid in preloaded(stage)))


def test_cores_are_shared_out_before_libraries_load(stage: Stage) -> None:
    cores = len(os.sched_getaffinity(0))
    stage.run("x=1,2", NAMED, TWO)
    assert {line["cores"] for line in stage.lines("start")} == {str(max(1, cores // 2))}
