"""A study has exactly the slots that were asked for, however many workers and commands fill it."""

from __future__ import annotations

import signal

import pytest
from optuna.trial import TrialState

from tests.processes import ended, eventually, succeeded
from tests.stage import Stage, check_whole

NAMED = "hydra.sweeper.study_name=s"


SAMPLED = ("x=interval(0.0, 1.0)", "hydra/sweeper/sampler=random", NAMED)


def trials(count: int) -> str:
    return f"hydra.sweeper.n_trials={count}"


def workers(count: int) -> str:
    return f"hydra.sweeper.n_jobs={count}"


@pytest.mark.slow
def test_commands_that_start_together_share_the_slots(shared: Stage) -> None:
    words = (*SAMPLED, trials(24), workers(2), "sleep=0.02")
    for process in [shared.start(*words) for _ in range(3)]:
        succeeded(process)
    assert check_whole(shared, 24) == []
    values = [trial.params["x"] for trial in shared.trials()]
    assert len(set(values)) == 24, "two workers drew the same point"


@pytest.mark.slow
def test_every_combination_is_run_once(shared: Stage) -> None:
    words = ("x=1,2,3", "kind=plain,fancy", "y=range(0,2)", NAMED, workers(2))
    for process in [shared.start(*words) for _ in range(2)]:
        succeeded(process)
    assert check_whole(shared, 12) == []
    ran = [trial.params for trial in sorted(shared.trials(), key=lambda t: t.user_attrs["slot"])]
    hydra_order = [
        {"x": x, "kind": kind, "y": y} for x in (1, 2, 3) for kind in ("plain", "fancy")
        for y in (0, 1)
    ]  # fmt: skip
    assert ran == hydra_order


def test_fewer_trials_than_combinations_are_the_first_ones(stage: Stage) -> None:
    stage.run("x=1,2,3", "y=1,2", trials(4), NAMED)
    found = [(trial.params["x"], trial.params["y"]) for trial in stage.trials()]
    assert found == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_a_larger_number_extends_and_the_same_number_does_nothing(stage: Stage) -> None:
    stage.run(*SAMPLED, trials(3))
    again = stage.run(*SAMPLED, trials(3))
    assert "nothing to do" in again.out + again.err
    assert len(stage.trials()) == 3
    stage.run(*SAMPLED, trials(5), workers(2))
    assert check_whole(stage, 5) == []
    assert sorted(trial.number for trial in stage.trials()) == list(range(5))
    folders = sorted(p.name for p in (stage.folder / "sweeps/s/trials").iterdir())
    assert folders == list("01234"), "numbering and folders go on"


@pytest.mark.slow
def test_the_same_command_resumes_what_was_interrupted_then_starts_anew(stage: Stage) -> None:
    """Without a name: unfinished is resumed, finished makes ``<name>-2``."""
    words = ("x=1,2,3,4", "sleep=0.3", workers(2))
    process = stage.start(*words)
    assert eventually(lambda: len(stage.lines("start")) >= 2)
    process.send_signal(signal.SIGINT)
    assert ended(process).status != 0
    assert eventually(lambda: not stage.processes(), seconds=10)
    (name,) = stage.studies()
    assert not stage.study(name).get_trials(states=[TrialState.RUNNING])

    resumed = stage.run(*words)
    assert f"resuming {name}" in resumed.out + resumed.err
    assert stage.studies() == [name]
    interrupted = check_whole(stage, 4, name)
    assert all(trial.user_attrs["attempt"] == 0 for trial in stage.trials(name)), (
        "Ctrl-C costs no attempt"
    )
    assert 1 <= len(interrupted) <= 2

    stage.log.unlink()
    stage.run(*words)
    assert stage.studies() == [name, f"{name}-2"]
    check_whole(stage, 4, f"{name}-2")
    stage.log.unlink()
    stage.run("x=1,2,3", "sleep=0.3")
    assert len(stage.studies()) == 3, "another command is another study"


@pytest.mark.slow
def test_no_trial_starts_after_the_timeout_and_the_study_can_be_resumed(stage: Stage) -> None:
    words = (*SAMPLED, trials(6), "sleep=0.5")
    result = stage.run(*words, "hydra.sweeper.timeout=1.2")
    assert "hydra.sweeper.timeout" in result.out + result.err
    done = len(stage.trials())
    assert 1 <= done < 6
    assert {trial.state for trial in stage.trials()} == {TrialState.COMPLETE}
    stage.run(*words, workers(2))
    assert check_whole(stage, 6) == []


@pytest.mark.slow
def test_ctrl_c_costs_no_attempt_under_a_launcher_either(stage: Stage) -> None:
    words = ("x=1,2,3,4", "sleep=0.4", workers(2), NAMED, "hydra/launcher=joblib")
    process = stage.start(*words)
    assert eventually(lambda: len(stage.lines("start")) >= 2)
    for one in stage.processes():  # a terminal sends it to everybody
        one.send_signal(signal.SIGINT)
    assert ended(process).status != 0
    assert eventually(lambda: not stage.processes(), seconds=10)
    succeeded(stage.start(*words))  # joblib does not end in a fork
    assert len(check_whole(stage, 4)) >= 1
    assert all(trial.user_attrs["attempt"] == 0 for trial in stage.trials())


@pytest.mark.slow
def test_one_is_told_what_a_repeated_command_will_do(stage: Stage) -> None:
    told = stage.run("x=1,2", "hydra.sweep.dir='multirun/${now:%H-%M-%S}'")
    assert "hydra.sweep.dir holds the time" in told.out + told.err
    told = stage.run("x=1,2", NAMED)
    assert "holds the time" not in told.out + told.err
    told = stage.run("x=1,2", "y=3", NAMED, trials(2))
    assert "nothing to do" in told.out + told.err
    told = stage.run("x=interval(0,1)", "hydra.sweeper.study_name=more", trials(1))
    told = stage.run("x=interval(0,1)", "y=3", "hydra.sweeper.study_name=more", trials(2))
    assert "was begun with other overrides (none, now y=3)" in told.out + told.err


def test_patience_stops_when_nothing_better_comes(stage: Stage) -> None:
    stage.run("x=1,2,3,4,5,6,7,8", "hydra.sweeper.patience=3", NAMED)
    assert [trial.params["x"] for trial in stage.trials()] == [1, 2, 3, 4]
    stage.log.unlink()
    stage.run(
        "x=1,2,3,4,5,6,7,8", "hydra.sweeper.patience=3", "hydra.sweeper.direction=maximize",
        "hydra.sweeper.study_name=up",
    )  # fmt: skip
    assert len(stage.trials("up")) == 8, "each is better than the one before"


@pytest.mark.slow
def test_known_points_come_first_whoever_runs_them(shared: Stage) -> None:
    points = "hydra.sweeper.enqueue=[{x: 0.25}, {x: 0.75, y: 2}]"
    words = (*SAMPLED, "y=range(0,5)", points, trials(8), workers(2))
    for process in [shared.start(*words) for _ in range(2)]:
        succeeded(process)
    assert check_whole(shared, 8) == []
    by_slot = {trial.user_attrs["slot"]: trial.params for trial in shared.trials()}
    assert by_slot[0]["x"] == 0.25 and 0 <= by_slot[0]["y"] < 5, "what is left out is sampled"
    assert by_slot[1] == {"x": 0.75, "y": 2}


def test_a_listed_point_that_is_enqueued_is_not_run_twice(stage: Stage) -> None:
    stage.run("x=1,2,3", "hydra.sweeper.enqueue=[{x: 3}]", NAMED)
    assert [trial.params["x"] for trial in stage.trials()] == [3, 1, 2]


@pytest.mark.parametrize(("duplicates", "runs"), [("reuse", 3), ("run", 12)])
def test_a_point_that_is_drawn_again(stage: Stage, duplicates: str, runs: int) -> None:
    stage.run(
        "x=1,2,3", trials(12), NAMED, "hydra/sweeper/sampler=random", "hydra.sweeper.seed=1",
        f"hydra.sweeper.duplicates={duplicates}",
    )  # fmt: skip
    found = stage.trials()
    assert len(found) == 12 and {trial.state for trial in found} == {TrialState.COMPLETE}
    assert len(stage.lines("start")) == runs
    for trial in found:
        assert trial.value == (trial.params["x"] - 1) ** 2
        if (twin := trial.user_attrs.get("duplicate_of")) is not None:
            assert found[twin].params == trial.params


def test_a_seed_gives_the_same_points_to_any_number_of_workers(stage: Stage) -> None:
    drawn = {}
    for name, count in (("one", 1), ("two", 2)):
        stage.run(
            "x=interval(0.0, 1.0)", "hydra/sweeper/sampler=random", "hydra.sweeper.seed=7",
            f"hydra.sweeper.study_name={name}", trials(6), workers(count), "sleep=0.05",
        )  # fmt: skip
        stage.log.unlink()
        drawn[name] = [trial.params["x"] for trial in stage.trials(name)]
    assert drawn["one"] == drawn["two"]
    assert len(set(drawn["one"])) == 6


@pytest.mark.slow
def test_callbacks_hear_of_a_study_once_and_of_each_trial(shared: Stage) -> None:
    callback = "+hydra.sweeper.callbacks.heard={_target_: heard.Heard, slow: 0.5}"
    words = (*SAMPLED, trials(8), workers(2), callback)
    for process in [shared.start(*words) for _ in range(2)]:
        succeeded(process)
    heard = shared.heard()
    (start,) = shared.heard("study_start")
    sessions = shared.heard("session_start")
    assert [line["shared"] for line in sessions] == [{"heard": str(start["pid"])}] * 2
    assert heard.index(start) < min(heard.index(line) for line in sessions)
    for hook in ("trial_start", "trial_end"):
        assert sorted(line["slot"] for line in shared.heard(hook)) == list(range(8))
    (end,) = [line for line in shared.heard("study_end") if line["finished"]]
    assert end["ended"] == 8
