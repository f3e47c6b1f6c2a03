"""``python -m catdog.train -m``: real sweeps, and what they leave in MLflow."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import optuna
import pytest
import yaml
from conftest import Ended, Lab, Run, ended, killed, rows_of, succeeded, wait_for

pytestmark = pytest.mark.slow

PICTURES = "history slice timeline lr_vs_loss".split()
"""Of a study with one parameter; importances, parallel and contour need two."""


@pytest.fixture(scope="module")
def swept(sweeping: subprocess.Popen[str]) -> Ended:
    """A sweep over three learning rates on the first run's store."""
    return succeeded(sweeping)


@pytest.fixture(scope="module")
def parent(lab: Lab, swept: Ended) -> Run:
    """The study's run."""
    return lab.found("swept")


@pytest.fixture(scope="module")
def children(lab: Lab, parent: Run) -> list[Run]:
    """The trials' runs, by number."""
    return [lab.found("swept", str(number)) for number in range(3)]


def children_of(lab: Lab, parent: Run) -> list[Run]:
    return [run for run in lab.runs() if run.tags.get("mlflow.parentRunId") == parent.id]


def test_three_rates_are_three_runs_under_one_parent(
    lab: Lab, parent: Run, children: list[Run]
) -> None:
    assert {run.id for run in children_of(lab, parent)} == {run.id for run in children}
    assert [run.params["optimizer.lr"] for run in children] == ["0.0001", "0.001", "0.01"]
    assert {run.status for run in (parent, *children)} == {"FINISHED"}
    assert [run.tags["catdog.kind"] for run in (parent, *children)] == ["sweep"] + ["trial"] * 3
    losses = [run.history("train/loss") for run in children]
    assert losses[0] != losses[1] != losses[2]


def test_trials_take_their_features_from_the_store(
    lab: Lab, before: dict[str, tuple[int, str]], swept: Ended
) -> None:
    assert before
    assert before.items() <= lab.stamps().items()
    assert "Features of" not in swept.err
    assert "Checking photos" not in swept.err


def test_a_sweep_says_how_each_trial_ended_and_which_was_best(swept: Ended) -> None:
    lines = [line for line in swept.err.splitlines() if line]
    lines = lines[next(k for k, line in enumerate(lines) if line.startswith("trial ")) :]
    ended_so = [line for line in lines if not re.match(r"trial \d: ", line)]  # what it is doing
    patterns = [rf"trial {n} COMPLETE 0\.\d+ in .*s  optimizer\.lr=" for n in range(3)]
    patterns += [r"swept: 3 of 3 trials in .*3 complete$", r"best 0\.\d+  trial \d  optimizer\.lr"]
    patterns += [r"Logging the study's table and pictures", r"next: .*evaluate --model swept$"]
    patterns += [
        r" +python -m catdog\.promote --study swept$",
        r"python -m catdog\.ui --uri sqlite",
    ]
    patterns += [
        rf"http://127\.0\.0\.1:5000/#/experiments/1/runs/{'[0-9a-f]' * 32}\?workflowType="
    ]
    assert len(ended_so) == len(patterns), swept.err
    for line, pattern in zip(ended_so, patterns, strict=True):
        assert re.match(pattern, line)
    assert swept.out == ""


def test_trial_hydra_folder_and_run_name_each_other(
    lab: Lab, parent: Run, children: list[Run]
) -> None:
    storage = f"sqlite:///{lab.folder}/hydra/swept/study.db"
    trials = optuna.load_study(study_name="swept", storage=storage).get_trials()
    for number, (run, trial) in enumerate(zip(children, trials, strict=True)):
        folder = lab.folder / "hydra/swept/trials" / str(number)
        assert run.tags["hydra.dir"] == trial.user_attrs["hydra.dir"] == str(folder)
        assert (run.tags["optuna.study"], run.tags["optuna.trial"]) == ("swept", str(number))
        assert run.tags["optuna.state"] == trial.state.name == "COMPLETE"
        assert trial.user_attrs["mlflow.run_id"] == run.id
        known = yaml.safe_load((folder / "trial.json").read_text())
        assert known["mlflow.run_id"] == run.id and known["optuna.trial"] == number
        assert trial.value == run.metrics["best/val_loss"]
        assert (folder / ".hydra/overrides.yaml").is_file()


def test_the_parent_has_the_winner(parent: Run, children: list[Run]) -> None:
    best = min(children, key=lambda run: run.metrics["best/val_loss"])
    assert parent.metrics["best/value"] == best.metrics["best/val_loss"]
    assert parent.metrics["trials/complete"] == 3
    assert parent.tags["best.run_id"] == best.id
    assert parent.tags["best.params"] == f"optimizer.lr={best.params['optimizer.lr']}"
    kept = yaml.safe_load((parent.artifacts / "sweep/best.yaml").read_text())
    assert kept["run_id"] == best.id and kept["value"] == parent.metrics["best/value"]
    assert kept["command"] == best.tags["catdog.command"]
    assert [bool(run.models) for run in children] == [run is best for run in children]


def test_the_parent_has_pictures_and_a_table(parent: Run, children: list[Run]) -> None:
    for name in PICTURES:
        assert (parent.artifacts / f"sweep/{name}.png").read_bytes().startswith(b"\x89PNG")
        page = (parent.artifacts / f"sweep/{name}.html").read_text()
        assert "plotly" in page and "cdn.plot.ly/plotly" not in page
    rows = rows_of(parent.artifacts / "sweep/trials.csv")
    assert [row["run_id"] for row in rows] == [run.id for run in children]


def test_the_parent_has_the_curves_and_a_page_of_all_trials(
    parent: Run, children: list[Run]
) -> None:
    place = parent.artifacts / "sweep"
    assert (place / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    assert not (place / "repeats.png").exists(), "no setting was tried twice"
    page = (place / "study.html").read_text()
    told = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert [row["run_id"] for row in told["rows"]] == [run.id for run in children]
    for row, run in zip(told["rows"], children, strict=True):
        assert row["name"] == run.info.run_name
        assert row["curve"] == pytest.approx([v for _, v in run.history("val/loss")], rel=1e-5)
    assert told["runs"].startswith("http://127.0.0.1:5000/#/experiments/")
    assert any("3 of 3 trials ended" in fact for fact in told["facts"])


def test_trials_are_named_by_their_values_and_the_best_has_the_star(
    parent: Run, children: list[Run]
) -> None:
    named = [run.info.run_name for run in children]
    assert named == ["t00 lr=0.0001", "t01 lr=0.001", "t02 lr=0.01"]
    best = parent.tags["best.run_id"]
    assert [run.tags.get("best") for run in children] == ["★" if run.id == best else None
                                                         for run in children]  # fmt: skip
    assert parent.tags["best"] == f"t0{parent.tags['best.trial']}"


def test_optuna_knows_the_name_of_the_objective(lab: Lab, swept: Ended) -> None:
    storage = f"sqlite:///{lab.folder}/hydra/swept/study.db"
    assert optuna.load_study(study_name="swept", storage=storage).metric_names == ["val/loss"]


def test_the_parent_is_described(parent: Run) -> None:
    note = parent.tags["mlflow.note.content"]
    assert "| `optimizer.lr` | `choice(" in note
    assert "best val/loss **" in note and "3 of 3 trials ended (3 complete)" in note
    assert parent.tags["catdog.command"] in note
    assert "python -m catdog.train +best=swept" in note
    assert parent.params["space.optimizer.lr"].startswith("choice(")


def test_trials_leave_out_pages_and_models(children: list[Run]) -> None:
    for run in children:
        assert (run.artifacts / "training/curves.png").is_file()
        assert (run.artifacts / "checkpoints/best.keras").is_file()
        assert not list(run.artifacts.rglob("*.html"))


def test_the_winner_is_repeated_by_its_studys_name(lab: Lab, parent: Run) -> None:
    store = f"tracking.uri={lab.uri}"
    succeeded(lab.start("repeated", store, "+best=swept"))
    again = lab.found("repeated")
    winner = next(run for run in lab.runs() if run.id == parent.tags["best.run_id"])
    assert again.results() == winner.results()
    once, twice = (shlex.split(run.tags["catdog.command"]) for run in (winner, again))
    assert set(once) == set(twice)
    refused = ended(lab.start("unknown", store, "+best=swetp"))
    assert refused.status == 1
    (line,) = refused.complaints
    assert "+best=swetp" in line and "the nearest: swept" in line


def test_trials_on_several_data_sets_are_not_compared(
    lab: Lab, before: dict[str, tuple[int, str]]
) -> None:
    """No value of one says that it is better than the other, so no single one is the best."""
    words = lab.overrides(
        data__split_seed="0,1", optimizer__lr="1e-3,3e-3", lr_range__enabled="false",
        trainer__epochs=1,
    )  # fmt: skip
    result = succeeded(lab.start("seeds", "-m", "hydra.sweeper.study_name=seeds", *words))
    parent = lab.found("seeds")
    assert "best.run_id" not in parent.tags
    kept = yaml.safe_load((parent.artifacts / "sweep/best.yaml").read_text())["solutions"]
    assert {row["params"]["data.split_seed"] for row in kept} == {0, 1} and len(kept) == 2
    numbers = ", ".join(str(row["trial"]) for row in kept)
    assert f"cannot be compared; the best of each: trial {numbers}" in result.err
    assert "next:" not in result.err
    assert "2 best, on a data set each" in parent.tags["mlflow.note.content"]
    store = f"tracking.uri={lab.uri}"
    for command, said in {
        ("train", store, "+best=seeds"): "compares several data sets, so its best trials are",
        ("promote", "--uri", lab.uri, "--study", "seeds"): "has no single best trial",
        ("promote", "--uri", lab.uri, "--study", "seeds", "--retrain", "2"): "cannot be compared",
    }.items():
        (line,) = ended(lab.command(*command)).complaints
        assert said in line


def test_what_every_trial_would_fail_by_is_refused_before_the_first(lab: Lab) -> None:
    words = lab.overrides(optimizer__lr="1e-3,1e-2", data__path="nowhere")
    refused = ended(lab.start("refused", "-m", *words))
    assert refused.status == 1
    (line,) = refused.complaints
    assert "data.path" in line and "nowhere" in line
    assert "Traceback" not in refused.err
    assert not [run for run in lab.runs() if "/refused" in run.tags.get("hydra.dir", "")]


def test_a_search_whose_trials_could_not_be_repeated_is_refused(lab: Lab, tmp_path: Path) -> None:
    file = """
        defaults: [train, override head: mlp, _self_]
        trainer: {epochs: 2}
        hydra:
          mode: MULTIRUN
          sweeper: {params: {optimizer.lr: "1e-3,1e-2", data.limit: 5}}
    """
    (tmp_path / "mine.yaml").write_text(file)
    refused = ended(lab.start("own", "--config-dir", str(tmp_path), "--config-name", "mine"))
    assert refused.status == 1
    (line,) = refused.complaints
    assert "mine.yaml: sets head.name, head.units, trainer.epochs where" in line


def test_a_bad_value_costs_its_trial_and_is_seen_in_mlflow(lab: Lab) -> None:
    words = lab.overrides(optimizer__lr="1e-3,-1", lr_range__enabled="false", trainer__epochs=1)
    result = succeeded(lab.start("bad", "-m", "hydra.sweeper.study_name=bad", *words))
    assert "1 complete  1 failed" in result.err
    good, bad = lab.found("bad", "0"), lab.found("bad", "1")
    assert (bad.status, bad.tags["optuna.state"]) == ("FAILED", "FAIL")
    assert "optimizer.lr" in (bad.artifacts / "error/traceback.txt").read_text()
    assert (good.status, lab.found("bad").status) == ("FINISHED", "FINISHED")


def test_everything_killed_then_the_same_command(lab: Lab, swept: Ended) -> None:
    """The trial that was lost is run again; no run stays RUNNING, and there is one parent."""
    words = lab.overrides(
        optimizer__lr="1e-3,2e-3,3e-3", lr_range__enabled="false", trainer__epochs=100,
        trainer__patience=100,
    )  # fmt: skip
    named = ("-m", "hydra.sweeper.study_name=killed", *words)
    process = lab.start("killed", *named)
    started = lab.folder / "hydra/killed/trials/1/trial.json"
    wait_for(started.exists, process=process, every=0.01)
    described = lambda: "optimizer.lr" in lab.found("killed", "1").params  # noqa: E731
    wait_for(described, process=process, every=0.05)
    killed(process)
    lost = lab.found("killed", "1")
    assert (lost.status, lab.found("killed").status) == ("RUNNING", "RUNNING")

    result = succeeded(lab.start("killed", *named))
    assert "resuming killed: 1 of 3 trials have ended" in result.out
    parent = lab.found("killed")
    runs = {run.tags["optuna.trial"]: run for run in children_of(lab, parent)}
    states = {number: (run.status, run.tags["optuna.state"]) for number, run in runs.items()}
    done = ("FINISHED", "COMPLETE")
    assert states == {"0": done, "1": ("KILLED", "FAIL"), "2": done, "3": done}
    assert runs["2"].params["optimizer.lr"] == runs["1"].params["optimizer.lr"] == "0.002"
    assert "its worker died" in (runs["1"].artifacts / "error/traceback.txt").read_text()
    assert parent.status == "FINISHED"
    assert not [run for run in lab.runs() if run.status == "RUNNING"]
