"""Runs that are interrupted, killed or started twice, and what the next run does."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import Ended, Lab, Run, ended, environment, rows_of, succeeded, wait_for

pytestmark = pytest.mark.slow

RECORD_BYTES = 36
"""Size of a record in the index of a feature store: a SHA-256 and a CRC-32."""


def indexes(cache: Path) -> list[Path]:
    """Return the indexes of pooled features, without those of other tests' views and cuts."""
    found = (cache / "features").glob("*/index.bin")
    recipes = {path: json.loads((path.parent / "recipe.json").read_text()) for path in found}
    return [path for path, one in recipes.items() if one["pooling"] and one["view"] == "clean"]


def rows_in(cache: Path) -> int:
    return sum(path.stat().st_size for path in indexes(cache)) // RECORD_BYTES


def bytes_of(cache: Path, name: str) -> bytes:
    (index,) = indexes(cache)
    return (index.parent / name).read_bytes()


def good_photos(run: Run) -> int:
    return len(rows_of(run.artifacts / "data/manifest.csv"))


# === two at once ===


def test_two_runs_on_an_empty_store_do_the_work_once(pair: Mapping[str, Run], lab: Lab) -> None:
    assert [run.status for run in pair.values()] == ["FINISHED", "FINISHED"]
    stored = np.frombuffer(bytes_of(lab.folder / "cache", "index.bin"), "V36")
    assert len(stored) == good_photos(pair["first"])
    assert len({record.tobytes()[:32] for record in stored}) == len(stored)
    assert pair["first"].results() == pair["alone"].results()


# === Ctrl-C, kill -9, and the same command again ===


@dataclass(frozen=True)
class Struck:
    """An interrupted run, and a killed one with the same command run again."""

    interrupted: Ended
    killed_at: int
    rows_then: bytes
    index_then: bytes
    again: Ended
    left: list[str]


@pytest.fixture(scope="module")
def struck(pair: Mapping[str, Run], lab: Lab) -> Struck:
    other = lab.folder / "other"
    words = lab.overrides(features__dir=other, features__batch_size=2)
    scratch = lab.folder / "victim's scratch"
    scratch.mkdir()
    victim = lab.start("victim", *words, TMPDIR=str(scratch))
    endless = lab.start(
        "endless",
        *lab.overrides(trainer__epochs=10**6, trainer__patience="null", lr_range__enabled="false"),
    )
    started = [victim, endless]
    try:
        wait_for(lambda: rows_in(other) >= 6, process=victim, every=0.002)
        victim.send_signal(signal.SIGKILL)
        assert ended(victim).status == -signal.SIGKILL
        killed_at, left = rows_in(other), [path.name for path in scratch.iterdir()]
        then = bytes_of(other, "rows.bin"), bytes_of(other, "index.bin")
        again = pasted(lab, lab.found("victim").tags["catdog.command"])
        started.append(again)
        wait_for(lambda: epochs(lab, "endless") > 1, process=endless, every=0.3)
        endless.send_signal(signal.SIGINT)
        interrupted = ended(endless)
        continued = succeeded(again)
    finally:
        for process in started:
            process.kill()
    return Struck(interrupted, killed_at, *then, continued, left)


def test_a_killed_run_leaves_nothing_in_the_temporary_folder(struck: Struck) -> None:
    assert struck.left == [], "such as the files of TensorFlow's autograph"


def pasted(lab: Lab, command: str) -> subprocess.Popen[str]:
    """Run a command as a person would, in another folder and with Hydra's files kept here."""
    elsewhere = lab.folder / "home"
    place = shlex.quote(f"hydra.run.dir={lab.folder}/hydra/victim-again")
    return subprocess.Popen(
        ["sh", "-c", f"exec {command} {place}"],
        cwd=elsewhere,
        env=environment(elsewhere, lab.fonts),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def epochs(lab: Lab, name: str) -> int:
    """How many epochs of a run are logged to MLflow."""
    place = str(lab.folder / "hydra" / name)
    runs = [run for run in lab.runs() if run.tags.get("hydra.dir", "").rstrip("/") == place]
    return len(runs[0].history("val/loss")) if runs else 0


def test_an_interrupted_run_ends_as_killed(struck: Struck, lab: Lab) -> None:
    assert struck.interrupted.status == 130
    assert struck.interrupted.complaints == ["catdog: interrupted"]
    assert "Traceback" not in struck.interrupted.err
    run = lab.found("endless")
    assert run.status == "KILLED"
    assert run.info.end_time
    assert (run.artifacts / "error/traceback.txt").stat().st_size > 0


def test_the_store_of_an_interrupted_run_is_whole(struck: Struck, first: Run, lab: Lab) -> None:
    from catdog.features.store import Store

    (index,) = indexes(lab.folder / "cache")
    hashes = [row["sha256"] for row in rows_of(first.artifacts / "data/manifest.csv")]
    store = Store(index.parent, (1280,), "float16")
    assert (store.find(hashes) >= 0).all()


def test_a_killed_run_left_whole_rows(struck: Struck, first: Run) -> None:
    assert 6 <= struck.killed_at < good_photos(first), "killed too early or too late"


def test_the_same_command_goes_on_where_it_was_killed(struck: Struck, lab: Lab) -> None:
    other = lab.folder / "other"
    assert bytes_of(other, "rows.bin").startswith(struck.rows_then)
    assert bytes_of(other, "index.bin").startswith(struck.index_then[: struck.killed_at * 36])
    again = lab.found("victim-again")
    assert rows_in(other) == good_photos(again)
    assert "Features of" in struck.again.err


def test_the_pasted_command_gives_the_metrics_of_an_undisturbed_run(
    struck: Struck, first: Run, lab: Lab
) -> None:
    again, victim = lab.found("victim-again"), lab.found("victim")
    assert again.status == "FINISHED"
    assert again.results() == first.results()
    assert again.tags["catdog.command"] == victim.tags["catdog.command"]
    assert again.params == victim.params


def test_no_run_is_left_running(struck: Struck, lab: Lab) -> None:
    assert lab.found("victim").status == "KILLED"
    assert not [run.id for run in lab.runs() if run.status == "RUNNING"]
