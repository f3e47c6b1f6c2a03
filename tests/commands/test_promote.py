"""The command on a real registry: who becomes champion, who stays, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from conftest import Ended, Lab

from catdog import promote
from catdog.tracking import Tracker

Promote = Callable[..., Ended]
Log = Callable[..., str]


@pytest.fixture
def log(tracker: Tracker) -> Log:
    """Log what promoting reads of a run whose test photos are numbered; ``1`` is right."""

    def make(
        right: str, *, first: int = 0, overrides: list[str] | None = None, **more: str
    ) -> str:
        tags = {key.replace("__", "."): value for key, value in more.items()}
        run = tracker.create(f"run of {right[:4]}", {"catdog.kind": "run", **tags})
        loss = right.count("0") / len(right)
        run.params({"objective.metric": "val/loss", "data.digest": "d"})
        run.metrics({"best/val_loss": loss, "best/epoch": 1})
        run.flush()
        run.dataset("folder", "digest", '{"classes": ["cat", "dog"]}', "{}")
        names = [f"{k}.jpg" for k in range(len(right))]
        with run.folder("config") as place:
            (place / "overrides.yaml").write_text(json.dumps(overrides or []))
        with run.folder("data") as place:
            rows = [f"{name},cat,test,1,sha-{name},1," for name in names]
            head = "path,label,split,size,sha256,orientation,converted"
            (place / "manifest.csv").write_text("\n".join([head, *rows]))
        with run.folder("evaluation") as place:
            rows = [
                f"{n},cat,{'cat' if r == '1' else 'dog'}"
                for n, r in zip(names, right, strict=True)
            ]
            (place / "predictions.csv").write_text("\n".join(["path,label,class", *rows]))
        with run.folder("checkpoints") as place:
            (place / "best.keras").write_text(run.run_id)
        run.end("FINISHED")
        return run.run_id

    return make


@pytest.fixture
def name(tmp_path: Path) -> str:
    """A registered model of the test's own: the registry has no experiments."""
    return tmp_path.name


@pytest.fixture
def ask(
    tracker: Tracker,
    name: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Promote:
    """Run the command in this process."""

    def call(*words: str) -> Ended:
        store = ["--uri", tracker.uri, "--experiment", tracker.experiment, "--name", name]
        monkeypatch.setattr(sys, "argv", ["promote.py", *words, *store])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            promote.main()
        out, err = capfd.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return call


def holders(tracker: Tracker, name: str) -> dict[str, str]:
    """Return the run behind each alias."""
    client = mlflow.MlflowClient(tracker.uri)
    found = client.get_registered_model(name).aliases
    return {alias: client.get_model_version(name, v).run_id for alias, v in found.items()}


def test_the_champion_changes_only_for_more_than_chance(
    log: Log, ask: Promote, tracker: Tracker, name: str
) -> None:
    first, same, better = log("1" * 12 + "0" * 8), log("1" * 14 + "0" * 6), log("1" * 20)
    assert ask("--run", first).status == 0
    assert holders(tracker, name) == {"champion": first}

    said = ask("--run", same)
    assert said.status == 4
    assert "cannot tell" in said.err and f"version 2 of {name}, no alias" in said.out
    assert holders(tracker, name) == {"champion": first}

    assert ask("--run", better).status == 0
    assert holders(tracker, name) == {"champion": better, "previous": first}
    said = ask("--run", better)
    assert said.status == 0 and "the champion already" in said.err

    assert ask("--run", same, "--force").status == 0  # registered before: no second version
    assert holders(tracker, name) == {"champion": same, "previous": better}
    assert len(mlflow.MlflowClient(tracker.uri).search_model_versions(f"name = '{name}'")) == 3


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_model_whose_training_diverged_is_not_registered(
    log: Log, ask: Promote, tracker: Tracker, name: str, loss: float
) -> None:
    bad = log("1" * 20)
    tracker.client.log_metric(bad, "best/val_loss", loss)
    said = ask("--run", bad, "--force")
    assert said.status == 1
    (line,) = said.complaints
    assert "its training diverged" in line and "smaller optimizer.lr" in line
    assert not mlflow.MlflowClient(tracker.uri).search_registered_models(f"name = '{name}'")


def test_the_page_of_the_model_says_why_it_is_champion(
    log: Log, ask: Promote, tracker: Tracker, name: str
) -> None:
    client = mlflow.MlflowClient(tracker.uri)
    said = lambda number: client.get_model_version(name, number).description  # noqa: E731
    about = lambda: client.get_registered_model(name).description  # noqa: E731
    first, same, better = log("1" * 12 + "0" * 8), log("1" * 14 + "0" * 6), log("1" * 20)
    ask("--run", first)
    assert said("1").startswith("Champion: the first model needs to beat nobody.")
    assert about().startswith("**The champion is version 1.** Champion: the first model")
    ask("--run", same)
    for _ in range(2):
        ask("--run", same)  # the same result once more is not said again
    assert said("2").count("Not champion in place of version 1: cannot tell at the 5 %") == 1
    assert about().startswith("**The champion is version 1.**")
    ask("--run", better)
    mcnemar = (
        "Champion in place of version 1: better, of 20 test photos it alone has 8 right, "
        "version 1 alone 0: p = 0.0078 (McNemar)."
    )
    assert mcnemar in said("3") and f"run {better[:8]}" in said("3")
    assert about().startswith(f"**The champion is version 3.** {mcnemar}")
    assert f"models:/{name}@champion" in about()
    assert "Replaced by version 3." in said("1").partition("\n")[0]
    ask("--run", same, "--force")
    assert "Champion in place of version 3 by --force: " in said("2").partition("\n")[0]
    assert said("2").count("Not champion") == 1, "what was said before stays"


def test_a_description_of_ones_own_stays(
    log: Log, ask: Promote, tracker: Tracker, name: str
) -> None:
    client = mlflow.MlflowClient(tracker.uri)
    client.create_registered_model(name, description="Ours.")
    ask("--run", log("1111"))
    assert client.get_registered_model(name).description == "Ours."


def test_a_dry_run_changes_nothing(log: Log, ask: Promote, tracker: Tracker, name: str) -> None:
    run = log("1111")
    said = ask("--dry-run")
    assert said.status == 0 and "would be registered and become the champion" in said.err
    client = mlflow.MlflowClient(tracker.uri)
    assert not client.search_registered_models(f"name = '{name}'")
    assert not client.get_run(run).outputs.model_outputs


def test_the_registered_version_is_the_runs_own_model(
    log: Log, ask: Promote, tracker: Tracker, name: str
) -> None:
    run = log("1111")
    ask("--run", run)
    client = mlflow.MlflowClient(tracker.uri)
    version = client.get_model_version_by_alias(name, "champion")
    (model,) = client.get_run(run).outputs.model_outputs
    assert (version.run_id, version.source) == (run, f"models:/{model.model_id}")
    from catdog.tracking import model_lookup

    found = model_lookup.resolve(
        f"models:/{name}@champion", folder=Path(), uri=tracker.uri, experiment=tracker.experiment
    )
    assert found.path.read_text() == run


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--run", "f" * 32], 1, "--run=ffff"),
        (["--study", "nowhere"], 1, "--study=nowhere: "),
        (["--study", "nowhere", "--retrain", "2"], 1, "--study=nowhere: no study was logged"),
        (["--study", "a", "--data", "b"], 2, "--data is about the experiment's best run"),
        (["--data", "b"], 1, "has no finished run"),
        (["--run", "a", "--study", "b"], 2, "not allowed with"),
        (["--retrain", "2"], 2, "--retrain needs --study"),
        (["--study", "a", "--retrain", "1", "--seeds", "0"], 2, "--seeds N >= 1"),
    ],
)
def test_what_is_not_there_is_one_message(
    words: list[str], status: int, said: str, ask: Promote
) -> None:
    ended = ask(*words)
    assert ended.status == status
    assert said in ended.err and "Traceback" not in ended.err


def test_a_registry_that_cannot_be_reached_is_one_message(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(sys, "argv", ["promote.py", "--uri", "http://127.0.0.1:9"])
    with pytest.raises(SystemExit) as ended:
        promote.main()
    err = capfd.readouterr().err
    assert ended.value.code == 1
    assert err.count("\n") == 2 and err.startswith("Looking for the model ...\n")
    assert "--uri=http://127.0.0.1:9" in err and "refused" in err


@pytest.mark.tensorflow
@pytest.mark.slow
def test_retraining_takes_the_best_trial_on_other_seeds(
    log: Log, ask: Promote, tracker: Tracker, lab: Lab, name: str
) -> None:
    parent = log("1", catdog__kind="sweep", optuna__study="made")
    words = {"mlflow__parentRunId": parent, "catdog__kind": "trial", "optuna__state": "COMPLETE"}
    short = {"trainer__epochs": 1, "lr_range__enabled": "false", "seed": 7}
    good = log("11110", overrides=lab.overrides(**short), optuna__trial="4", **words)
    log("00000", overrides=[], optuna__trial="5", **words)
    said = ask("--study", "made", "--retrain", "1", "--seeds", "1")
    assert said.status == 0, said.err
    (again,) = [r for r in tracker.find({"catdog.kind": "run"}) if "catdog.retrained" in r.tags]
    assert again.tags["catdog.retrained"] == good
    assert again.tags["catdog.command"].count("seed=") == 1
    assert "seed=0" in again.tags["catdog.command"]
    assert holders(tracker, name) == {"champion": again.run_id}
    value = tracker.client.get_run(again.run_id).data.metrics["best/val_loss"]
    assert f"{value:.4f}" in said.out
    version = mlflow.MlflowClient(tracker.uri).get_model_version_by_alias(name, "champion")
    assert f"those of trial 4, on 1 seeds: mean val/loss {value:.4f}" in version.description
