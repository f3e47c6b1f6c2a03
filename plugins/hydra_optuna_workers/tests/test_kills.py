"""``kill -9`` of every kind of process, at random moments; then the same command again."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.processes import Ended, ended, eventually
from tests.stage import Stage, check_whole

pytestmark = pytest.mark.slow

REPEATS = int(os.environ.get("KILL_REPEATS", "5"))
AT_ONCE = 3
N_TRIALS = 14
SWEEP = (
    "x=interval(0,1)", "y=choice(1,2,3)", "sleep=0.25", "hydra/sweeper/sampler=random",
    f"hydra.sweeper.n_trials={N_TRIALS}", "hydra.sweeper.n_jobs=2",
    "hydra.sweeper.lease_seconds=2", "hydra.sweeper.max_retries=5",
)  # fmt: skip
PROGRAMS = {"child": "child.py", "loop": "popen_loky_posix"}
"""What tells the processes below the parent apart, by their command lines."""


@dataclass
class Killer:
    """Kills processes of one stage's sweeps.

    Attributes:
        stage: Whose.
        moments: When.
        story: What was killed so far.
    """

    stage: Stage
    moments: random.Random
    story: list[str] = field(default_factory=list)

    def kill(self, command: subprocess.Popen[str], kind: str) -> None:
        """Kill one child or loop, the parent, or everything, at a random moment.

        Mostly while trials run; a parent sometimes before, when it makes the study or starts
        workers.
        """
        if kind in ("parent", "everything") and self.moments.random() < 0.25:
            time.sleep(self.moments.uniform(0.2, 2.0))
        else:
            before, more = len(self.stage.lines("start")), self.moments.randint(1, 2)
            while len(self.stage.lines("start")) < before + more and command.poll() is None:
                time.sleep(0.02)
            time.sleep(self.moments.uniform(0.0, 0.4))
        victims = self._victims(command, kind)
        while not victims and command.poll() is None:  # it is being replaced
            time.sleep(0.02)
            victims = self._victims(command, kind)
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        done = len(self.stage.lines("end"))
        self.story.append(f"{len(victims)} {kind} after {done} trials")

    def _victims(self, command: subprocess.Popen[str], kind: str) -> list[psutil.Process]:
        if command.poll() is not None:
            return []
        if kind == "parent":
            return [psutil.Process(command.pid)]
        if kind == "everything":
            return self.stage.processes()
        matching = [p for p in self.stage.processes() if PROGRAMS[kind] in words_of(p)]
        return [self.moments.choice(matching)] if matching else []


def words_of(process: psutil.Process) -> str:
    """Return a process's command line."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def endure(folder: Path, url: str, repeat: int) -> str:
    """Kill a child, a loop, the parent and everything of one study; return the story."""
    seed = random.randrange(10**6)
    folder.mkdir()
    killer = Killer(Stage(folder, url), random.Random(seed))
    said: list[Ended] = []
    try:
        _endure(killer, f"s{repeat}", repeat % 2 == 1, said)
    except BaseException as error:
        told = "\n".join(one.err + one.out for one in said)
        raise AssertionError(f"{killer.story}, seed {seed}: {error!r}\n{told}") from error
    finally:
        killer.stage.clear()
    return ", ".join(killer.story)


def _endure(killer: Killer, name: str, orphans_last: bool, said: list[Ended]) -> None:
    stage, words = killer.stage, (*SWEEP, f"hydra.sweeper.study_name={name}")
    ends = ("everything", "parent") if orphans_last else ("parent", "everything")
    command = stage.start(*words, "hydra/launcher=joblib")
    for kind in ("child", "loop", ends[0]):
        killer.kill(command, kind)
    command.wait(timeout=120)  # what it said is open as long as an orphan may write there
    command = stage.start(*words)
    killer.kill(command, ends[1])
    said.append(ended(command))
    command = stage.start(*words)
    said.append(ended(command))
    assert command.returncode == 0
    assert eventually(lambda: not left(stage)), left(stage)
    check_whole(stage, N_TRIALS, name)
    assert "best_params" in (stage.folder / f"sweeps/{name}/optimization_results.yaml").read_text()


def left(stage: Stage) -> list[str]:
    """Return what still runs, but for joblib's processes that never got a job.

    They stay for five minutes if their parent is killed before it gives them one.
    """
    worked = {line["loop"] for line in stage.lines("start")}
    idle = {p.pid for p in stage.processes() if "loky" in words_of(p) and p.pid not in worked}
    return [words_of(p) for p in stage.processes() if p.pid not in idle]


@pytest.mark.timeout(60 + 60 * REPEATS)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_killed_at_random_moments(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres") if database == "postgres" else ""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ran = [pool.submit(endure, tmp_path / str(i), url, i) for i in range(REPEATS)]
    stories = [one.result() for one in ran]
    print(*stories, sep="\n")
    for kind in ("child", "loop", "parent"):
        assert any(f"1 {kind}" in story for story in stories), f"never hit a {kind}: {stories}"


FEW = ("x=interval(0,1)", "hydra.sweeper.n_trials=3", "hydra.sweeper.isolation=none")
HOOKS = ("study_start", "session_start", "trial_start", "trial_end", "study_end")


@pytest.mark.parametrize("hook", HOOKS)
def test_killed_in_a_callback(stage: Stage, hook: str) -> None:
    words = (
        *FEW, "hydra.sweeper.study_name=s",
        f"+hydra.sweeper.callbacks.dies={{_target_: dies.Dies, at: {hook}}}",
    )  # fmt: skip
    assert ended(stage.start(*words)).status == -9
    stage.run(*words)
    check_whole(stage, 3)
    heard = [line["hook"] for line in stage.heard()]
    for once in ("study_start", "study_end"):
        assert heard.count(once) == (2 if hook == once else 1), heard
    assert stage.heard("study_end")[-1]["finished"]
    assert (stage.folder / "sweeps/s/optimization_results.yaml").exists()


STEPS = ("Claims.take", "Book.begin", "Claims.started", "Book.tell", "Claims.finish")


@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("step", STEPS)
def test_killed_between_two_steps(stage: Stage, step: str, retries: int) -> None:
    """Whatever was just done is done; a slot is never filled twice, and never forgotten."""
    words = (
        *FEW, "hydra.sweeper.study_name=s", f"hydra.sweeper.max_retries={retries}",
        f"+hydra.sweeper.callbacks.dies={{_target_: dies.Between, step: {step}}}",
    )  # fmt: skip
    assert ended(stage.start(*words)).status == -9
    stage.run(*words)
    trials = stage.trials()
    told = [(t.number, t.state.name, t.user_attrs) for t in trials]
    assert all(trial.state.is_finished() for trial in trials), told
    if retries:
        check_whole(stage, 3)
    assert sorted({trial.user_attrs["slot"] for trial in trials}) == [0, 1, 2], told
    assert stage.heard("study_end")[-1]["ended"] == 3


def test_killed_before_results_are_written(stage: Stage) -> None:
    """All slots have ended, but the study has not: the same command ends it and runs nothing."""
    words = (*FEW, "+hydra.sweeper.callbacks.dies={_target_: dies.Dies, at: study_end}")
    assert ended(stage.start(*words)).status == -9
    (name,) = stage.studies()
    stage.run(*words)
    assert stage.studies() == [name]
    assert len(stage.lines("start")) == 3
    assert stage.heard("study_end")[-1]["finished"]


def test_a_machine_that_vanished_is_known_by_its_lease(shared: Stage) -> None:
    """Nobody here can tell whether another host's process lives, but its lease runs out."""
    words = (
        "x=interval(0,1)", "sleep=0.5", "hydra/sweeper/sampler=random",
        "hydra.sweeper.n_trials=4", "hydra.sweeper.study_name=s", "hydra.sweeper.lease_seconds=3",
    )  # fmt: skip
    away = shared.start(*words, host="far-away")
    assert eventually(lambda: len(shared.lines("start")) == 2)
    away.kill()
    shared.clear()
    ended(away)
    begun = time.time()
    shared.run(*words)
    (lost,) = check_whole(shared, 4)
    again = next(t for t in shared.trials() if t.params == lost.params and t.number > lost.number)
    spans = {span.trial: span for span in shared.spans()}
    assert again.user_attrs["attempt"] == 1
    assert spans[again.number].start - begun > 1, "its lease had not run out"
