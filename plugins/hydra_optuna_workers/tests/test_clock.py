"""The wall clock steps by two hours while sweeps run; budget and trials stay exact."""

from __future__ import annotations

import itertools
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.processes import ended, eventually
from tests.stage import Stage

pytestmark = pytest.mark.slow

REPEATS = int(os.environ.get("KILL_REPEATS", "1"))
N_TRIALS = 20
SWEEP = (
    "x=interval(0,1)", "sleep=0.1", "hydra/sweeper/sampler=random", "hydra.sweeper.n_jobs=2",
    f"hydra.sweeper.n_trials={N_TRIALS}", "hydra.sweeper.lease_seconds=2",
    "hydra.sweeper.study_name=s",
)  # fmt: skip
STEPPED = """
import os, time
real = time.time
def shifted():
    with open(os.environ["STUB_CLOCK"]) as file:
        return real() + float(file.read())
def boot_time(*ignored):
    return round(shifted() - time.clock_gettime(time.CLOCK_BOOTTIME), 2)
if "STUB_CLOCK" in os.environ:
    time.time = shifted
    import psutil
    psutil._pslinux.boot_time = boot_time
    psutil.boot_time = boot_time
    psutil._pslinux.BOOT_TIME = None
"""
"""What reads the wall clock, replaced in all processes; psutil's boot time moves as Linux's."""


def set_clock(folder: Path, seconds: int) -> None:
    """Step the clock of a folder's commands; the monotonic ones go on, as they really do."""
    (folder / "new").write_text(str(seconds))
    (folder / "new").replace(folder / "clock")


def endure(folder: Path, seconds: int) -> str:
    """Step the clock while a sweep is at work; return when."""
    folder.mkdir()
    set_clock(folder, 0)
    stage = Stage(folder)
    (folder / "site").mkdir()
    (folder / "site/sitecustomize.py").write_text(STEPPED)
    command = stage.start(
        *SWEEP, STUB_CLOCK=str(folder / "clock"),
        PYTHONPATH=f"{folder / 'site'}:{os.environ['PYTHONPATH']}",
    )  # fmt: skip
    after = random.randint(1, 8)
    assert eventually(lambda: len(stage.lines("start")) >= after or command.poll() is not None)
    set_clock(folder, seconds)
    said = ended(command, timeout=90)
    try:
        assert said.status == 0, said.err + said.out
        told = [line["time"] for line in stage.lines()]
        assert max(abs(b - a) for a, b in itertools.pairwise(told)) > 7000, (
            "the clock did not step"
        )
        assert sorted(t.user_attrs["slot"] for t in stage.trials()) == [*range(N_TRIALS)]
        counts = [len(stage.trials()), len(stage.lines("start")), len(stage.lines("end"))]
        assert counts == [N_TRIALS] * 3
    finally:
        stage.clear()
    return f"{seconds:+d} s after {after} trials"


@pytest.mark.timeout(60 + 60 * REPEATS)
@pytest.mark.parametrize("seconds", [-7200, 7200])
def test_the_clock_steps_while_trials_run(tmp_path: Path, seconds: int) -> None:
    with ThreadPoolExecutor(2) as pool:
        ran = [pool.submit(endure, tmp_path / str(i), seconds) for i in range(REPEATS)]
    print(*[one.result() for one in ran], sep="\n")
