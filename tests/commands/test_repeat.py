"""``python -m catdog.repeat``: a run's figures come again, or it is said which did not."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from conftest import Ended, Lab, Run, ended, environment

from catdog import repeat
from catdog.tracking import Tracker
from catdog.tracking.run import Run as Logged


def started(lab: Lab, command: Sequence[str]) -> subprocess.Popen[str]:
    """Start a command in another folder than the one where the run was started."""
    elsewhere = lab.folder / "home"
    env = environment(elsewhere, lab.fonts)
    return subprocess.Popen(
        command,
        cwd=elsewhere,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def repeated(lab: Lab, name: str, *words: str) -> subprocess.Popen[str]:
    place = f"hydra.run.dir={lab.folder}/hydra/{name}"
    command = [sys.executable, "-m", "catdog.repeat", *words, "--uri", lab.uri, place]
    return started(lab, command)


# === real repeats ===


@pytest.fixture(scope="module")
def trial(lab: Lab, sweeping: subprocess.Popen[str]) -> Run:
    """A trial of a sweep."""
    assert sweeping.wait(timeout=240) == 0
    return lab.found("swept", "1")


@pytest.fixture(scope="module")
def again(lab: Lab, first: Run, trial: Run) -> Iterator[dict[str, Ended]]:
    """A trial repeated, its command pasted into a shell, and a run repeated at another rate."""
    place = shlex.quote(f"hydra.run.dir={lab.folder}/hydra/pasted")
    running = {
        "trial": repeated(lab, "trial", trial.id[:10]),
        "pasted": started(lab, ["sh", "-c", f"exec {trial.tags['catdog.command']} {place}"]),
        "other": repeated(lab, "other", first.id, "optimizer.lr=0.004", "threads=1"),
    }
    try:
        yield {name: ended(process) for name, process in running.items()}
    finally:
        for process in running.values():
            process.kill()


@pytest.mark.slow
def test_a_trials_repeat_has_the_same_figures(
    again: dict[str, Ended], lab: Lab, trial: Run
) -> None:
    said, run = again["trial"], lab.found("trial")
    assert said.status == 0, said.err
    figures = sum(map(len, trial.results().values()))
    words = f"{run.id[:8]} repeats {trial.id[:8]}: {figures} of {figures} figures are the same"
    assert words in said.out
    assert f"repeating {trial.id[:8]}: data=folder " in said.err
    assert run.results() == trial.results()


@pytest.mark.slow
def test_a_repeat_is_a_run_of_its_own(again: dict[str, Ended], lab: Lab, trial: Run) -> None:
    run = lab.found("trial")
    assert (run.tags["catdog.kind"], run.tags["catdog.repeats"]) == ("run", trial.id)
    assert run.tags["catdog.command"] == trial.tags["catdog.command"]
    assert not [tag for tag in run.tags if tag.startswith(("optuna.", "mlflow.parent"))]
    assert run.info.experiment_id == trial.info.experiment_id
    assert run.status == "FINISHED"


@pytest.mark.slow
def test_a_trials_command_pasted_elsewhere_gives_its_figures(
    again: dict[str, Ended], lab: Lab, trial: Run
) -> None:
    assert again["pasted"].status == 0, again["pasted"].err
    assert lab.found("pasted").results() == trial.results()


@pytest.mark.slow
def test_what_is_not_the_same_is_shown_with_what_may_be_why(
    again: dict[str, Ended], first: Run, lab: Lab
) -> None:
    said, run = again["other"], lab.found("other")
    assert said.status == repeat.DIFFERENT, said.err
    before, after = (dict(one.history("val/loss"))[1] for one in (first, run))
    assert before != after
    rows = [re.split(r" *[│┃] *", line.strip("│┃ ")) for line in said.out.splitlines()]
    assert ["val/loss", "3 of 3", "1", repr(before), repr(after)] in [row[:5] for row in rows]
    assert ["optimizer.lr", "0.003", "0.004"] in rows
    assert ["threads", "2", "1"] in rows
    assert not [row for row in rows if row[0].startswith("lr_range")], (
        "the rate is no matter there"
    )
    figures = sum(map(len, first.results().values()))
    assert re.search(rf": \d+ of {figures} figures are the same to the last bit", said.out)


# === which run is meant ===


Log = Callable[..., Logged]
OVERRIDES = ["data=folder", "data.path=/gone/photos", "tracking.run_name='🐈'"]


@pytest.fixture
def log(tracker: Tracker) -> Log:
    """Log what is read of a run that a command started."""

    def one(
        overrides: list[str] | None = OVERRIDES, /, figures: bool = True, **tags: str
    ) -> Logged:
        known = {
            "catdog.kind": "run",
            "hydra.dir": "/hydra",
            "catdog.command": "repeat it",
            **tags,
        }
        run = tracker.create("run", {key: value for key, value in known.items() if value})
        if overrides is not None:
            with run.folder("config") as place:
                lines = [f"- {json.dumps(word)}\n" for word in overrides]
                (place / "overrides.yaml").write_text("".join(lines) or "[]\n")
        run.metrics({"val/loss": 0.5} if figures else {"time/fit_seconds": 1}, 1)
        run.flush()
        run.end("FINISHED")
        return run

    return one


@pytest.mark.parametrize("letters", [32, 10], ids=["id", "prefix"])
def test_a_run_is_found_with_its_overrides(letters: int, log: Log, tracker: Tracker) -> None:
    run = log()
    found = repeat.find(run.run_id[:letters], tracker.uri, tracker.experiment)
    assert (found.run_id, found.overrides) == (run.run_id, OVERRIDES)
    assert found.tracker.uri == tracker.uri
    assert found.tracker.experiment_id == tracker.experiment_id
    assert repeat.find(log([]).run_id, tracker.uri, tracker.experiment).overrides == []


def test_a_whole_id_is_repeated_in_its_own_experiment(log: Log, tracker: Tracker) -> None:
    found = repeat.find(log().run_id, tracker.uri, "nowhere")
    assert found.tracker.experiment == tracker.experiment


@pytest.mark.parametrize(
    ("words", "others", "expected"),
    [
        (["a=1", "b=2"], [], ["a=1", "b=2"]),
        (["a=1", "b=2"], ["a=3"], ["b=2", "a=3"]),
        (["+a=1", "~b"], ["a=2", "b=3"], ["a=2", "b=3"]),
        (["a.b=1"], ["a=2"], ["a.b=1", "a=2"]),
    ],
)
def test_what_is_named_replaces(words: list, others: list, expected: list) -> None:
    assert repeat.changed(words, others) == expected


Case = Callable[[Log, Tracker], str]


def deleted(log: Log, tracker: Tracker) -> str:
    run = log()
    tracker.client.delete_run(run.run_id)
    return run.run_id


WRONG: dict[str, tuple[Case, str]] = {
    "unknown": (lambda log, tracker: "f" * 32, "no run has this id, or this prefix"),
    "too short": (lambda log, tracker: log().run_id[:3], "at least 4 characters"),
    "no id": (lambda log, tracker: "best", "no run has this id, or this prefix"),
    "sweep": (
        lambda log, tracker: log(**{"catdog.kind": "sweep", "optuna.study": "heads-1"}).run_id,
        "a whole sweep; repeat one of its trials; try `python -m catdog.train +best=heads-1`",
    ),
    "evaluation": (
        lambda log, tracker: log(**{"catdog.kind": "evaluation"}).run_id,
        "no training of catdog's (catdog.kind=evaluation)",
    ),
    "stranger": (lambda log, tracker: log(**{"catdog.kind": ""}).run_id, "(catdog.kind=None)"),
    "notebook": (lambda log, tracker: log(**{"hydra.dir": ""}).run_id, "not started by a command"),
    "no config": (
        lambda log, tracker: log(None).run_id,
        "has logged config/overrides.yaml, but ",
    ),
    "deleted": (deleted, "this run was deleted"),
    "no figures": (lambda log, tracker: log(figures=False).run_id, "nothing to compare"),
}


@pytest.fixture
def refusal(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Return the only line that the command says when it refuses."""

    # as catdog.tracking sets it when it is imported, which was before this test's environment
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

    def ask(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["repeat.py", *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            repeat.main()
        out, err = capfd.readouterr()
        assert (ended.value.code, out) == (1, "")
        (err,) = [line for line in err.splitlines(keepends=True) if not line.endswith(" ...\n")]
        assert err.startswith("catdog: ")
        return err

    return ask


@pytest.mark.parametrize("case", WRONG)
def test_a_run_that_cannot_be_repeated_is_one_message(
    case: str, log: Log, tracker: Tracker, refusal: Callable[..., str]
) -> None:
    make, wanted = WRONG[case]
    asked = make(log, tracker)
    said = refusal(asked, "--uri", tracker.uri, "--experiment", tracker.experiment)
    assert wanted in said
    assert f"RUN={asked}" in said


def test_a_prefix_of_two_runs_names_both(
    log: Log, tracker: Tracker, refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [log().run_id for _ in range(2)]
    monkeypatch.setattr("catdog.tracking.run_lookup.ids_with_prefix", lambda letters, tracker: ids)
    said = refusal("abcd", "--uri", tracker.uri, "--experiment", tracker.experiment)
    assert "2 runs of experiment" in said and ", ".join(ids) in said
    assert f"try `python -m catdog.repeat {ids[0]}`" in said


def test_a_store_that_is_not_there_is_one_message(
    tmp_path: Path, refusal: Callable[..., str]
) -> None:
    said = refusal("abcd", "--uri", f"sqlite:///{tmp_path}/new/mlflow.db")
    assert "--uri=sqlite:///" in said and "no run was logged there yet" in said
    assert not (tmp_path / "new").exists()


def test_photos_that_are_gone_are_trainings_own_message(
    log: Log, tracker: Tracker, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "catdog.repeat", log().run_id, "--uri", tracker.uri]
    asked = subprocess.run(
        [*command, f"hydra.run.dir={tmp_path}/hydra"], capture_output=True, text=True, timeout=60
    )
    assert asked.returncode == 1
    (line,) = [line for line in asked.stderr.splitlines() if line.startswith("catdog: ")]
    assert "/gone/photos" in line and "data.path" in line
    assert "Traceback" not in asked.stderr
