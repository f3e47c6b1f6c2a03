"""Disks that fill up while commands run: one message, nothing lost, the same command goes on.

The disks are small file systems in memory. DISK_REPEATS says how often each is filled (1).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Ended, Lab, Run, ended

pytestmark = pytest.mark.slow

REPEATS = int(os.environ.get("DISK_REPEATS", "1"))

LEFT = {  # KiB that are left on the disk: each time something else does not fit
    "tracking.uri": (900, 5, 1300),
    "features.dir": (100, 24, 150),
    "hydra.run.dir": (0, 4, 8),
    "hydra.sweep.dir": (120, 40, 180),
    "TMPDIR": (64, 16, 256),
}
TRIALS = ("tracking.uri", "features.dir")
"""Places that the trials of a sweep write to."""

CASES = [(place, LEFT[place][k % 3]) for k in range(REPEATS) for place in LEFT]


@dataclass
class Disk:
    """A small file system that can be filled."""

    folder: Path

    def fill(self, left: int) -> None:
        """Leave so many KiB."""
        free = os.statvfs(self.folder)
        size = free.f_bavail * free.f_frsize - 1024 * left
        with (self.folder / "filler").open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, max(size, 1))

    def free(self) -> None:
        """Make room again."""
        (self.folder / "filler").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of 40 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    yield Disk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


@dataclass
class Case:
    """A command with one of its places on a small disk."""

    lab: Lab
    words: Sequence[str]
    uri: str
    env: dict[str, str]

    def run(self) -> Ended:
        return ended(self.lab.command("train", *self.words, **self.env))

    def runs(self) -> list[Run]:
        import mlflow

        client = mlflow.MlflowClient(self.uri)
        experiment = client.get_experiment_by_name("catdog")
        found = client.search_runs([experiment.experiment_id], max_results=500)
        return [Run(client, run) for run in found]


def case(lab: Lab, tmp_path: Path, disk: Disk, empty_store: Path, place: str, sweep: bool) -> Case:
    places: dict[str, Any] = {
        "features.dir": tmp_path / "cache",
        "hydra.run.dir": tmp_path / "hydra",
        "hydra.sweep.dir": tmp_path / "sweep",
        "TMPDIR": tmp_path / "temp",
        "tracking.uri": tmp_path / "store",
    }
    if place in places:
        places[place] = disk.folder / "here"
    for key in ("tracking.uri", "TMPDIR"):
        places[key].mkdir()
    (places["tracking.uri"] / "mlflow.db").write_bytes(empty_store.read_bytes())
    env = {"TMPDIR": str(places.pop("TMPDIR"))}
    uri = places["tracking.uri"] = f"sqlite:///{places['tracking.uri']}/mlflow.db"
    changed = {"optimizer.lr": "1e-3,1e-2,3e-2"} if sweep else {}
    words = lab.overrides(**{key.replace(".", "__"): v for key, v in changed.items()})
    words = [word for word in words if word.partition("=")[0] not in places]
    words += [f"{key}={value}" for key, value in places.items()]
    return Case(lab, ["-m", "hydra.sweeper.study_name=s", *words] if sweep else words, uri, env)


def told(failed: Ended, disk: Disk) -> None:
    """Check that a command ended with one message that names the place."""
    assert failed.status == 1, failed.err
    (message,) = failed.complaints
    assert str(disk.folder) in message, message
    assert "full" in message or "do not fit" in message, message
    assert "Traceback" not in failed.err, failed.err
    assert len(failed.err.splitlines()) < 25, failed.err


@pytest.mark.parametrize(("place", "left"), CASES)
def test_the_same_command_goes_on_when_there_is_room_again(
    place: str, left: int, lab: Lab, first: Run, empty_store: Path, tmp_path: Path, disk: Disk
) -> None:
    sweep = place == "hydra.sweep.dir"
    one = case(lab, tmp_path, disk, empty_store, place, sweep)
    disk.fill(left)
    told(one.run(), disk)
    disk.free()
    again = one.run()
    assert again.status == 0, again.err
    done = [run for run in one.runs() if run.status == "FINISHED"]
    assert not [run.id for run in one.runs() if run.status == "RUNNING"]
    if not sweep:
        (run,) = done
        assert run.results() == first.results()
        return
    assert sweep_results(one) == undisturbed(lab, tmp_path, disk, empty_store)


@pytest.mark.parametrize(("place", "left"), [c for c in CASES if c[0] in TRIALS])
def test_a_full_disk_uses_up_no_slot_of_a_sweep(
    place: str, left: int, lab: Lab, empty_store: Path, tmp_path: Path, disk: Disk
) -> None:
    one = case(lab, tmp_path, disk, empty_store, place, True)
    disk.fill(left)
    told(one.run(), disk)
    disk.free()
    again = one.run()
    assert again.status == 0, again.err
    assert "3 of 3 trials" in again.err and "failed" not in again.err, again.err
    assert not [run.id for run in one.runs() if run.status == "RUNNING"]
    assert sweep_results(one) == undisturbed(lab, tmp_path, disk, empty_store)


def sweep_results(one: Case) -> dict[str, Any]:
    """Return the figures of a sweep's trials that completed, by learning rate."""
    kept = [run for run in one.runs() if run.tags.get("optuna.state") == "COMPLETE"]
    assert len(kept) == 3
    return {run.params["optimizer.lr"]: run.results() for run in kept}


def undisturbed(lab: Lab, tmp_path: Path, disk: Disk, empty_store: Path) -> dict[str, Any]:
    (tmp_path / "other").mkdir()
    one = case(lab, tmp_path / "other", disk, empty_store, "none", True)
    assert one.run().status == 0
    return sweep_results(one)
