"""A study's winner is written once and repeated by its name: ``+best=<study>``."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from optuna.trial import create_trial

from catdog import train
from catdog.errors import ConfigError
from catdog.study.results import Result
from catdog.study.winner import Winner, overrides_of, write
from catdog.tracking import Tracker, names
from catdog.tracking.run import Run

WINNER = Winner(
    trial=7,
    run_id="abc",
    values=[0.125],
    params={"optimizer": "adam", "optimizer.lr": 1e-05, "head.dropout": None},
    command="python -m catdog.train optimizer.lr=1e-05",
    overrides=("data.path='/a b'", "optimizer.lr=1e-05", "++data.limit=null"),
)


def front(*trials: int) -> list[Winner]:
    return [Winner(k, f"run{k}", [0.1 * k, 0.9], overrides=[f"seed={k}"]) for k in trials]


def log_study(tracker: Tracker, name: str, *winners: Winner, kind: str = "sweep") -> Run:
    """Log a study's run as a sweep leaves it, without its winner if there is none."""
    run = tracker.create(name, {"catdog.kind": kind, names.STUDY: name})
    if winners:
        with run.folder("sweep") as place:
            write(place / "best.yaml", name, winners)
    run.end("FINISHED")
    return run


def repeating(*overrides: str) -> Winner:
    return Winner(0, "abc", [0.5], overrides=overrides)


# === the file ===


def test_the_winner_is_a_file_that_reads_well(tmp_path: Path) -> None:
    write(tmp_path / "best.yaml", "heads", [WINNER])
    assert (
        (tmp_path / "best.yaml").read_text()
        == """\
study: heads
trial: 7
run_id: abc
params:
  optimizer: adam
  optimizer.lr: 1.0e-05
  head.dropout: null
command: python -m catdog.train optimizer.lr=1e-05
overrides:
- data.path='/a b'
- optimizer.lr=1e-05
- ++data.limit=null
value: 0.125
"""
    )


@pytest.mark.parametrize("trials", [(3,), (3, 5, 8)])
def test_with_several_directions_the_file_lists_the_front(tmp_path: Path, trials: tuple) -> None:
    write(tmp_path / "best.yaml", "heads", front(*trials))
    written = yaml.safe_load((tmp_path / "best.yaml").read_text())
    assert set(written) == {"study", "solutions"}
    assert [row["trial"] for row in written["solutions"]] == list(trials)
    first = {"run_id": "run3", "params": {}, "command": "", "overrides": ["seed=3"]}
    assert written["solutions"][0] == {"trial": 3, **first, "values": [0.1 * 3, 0.9]}


@pytest.fixture(scope="module")
def one_study(shared_store: str) -> tuple[Tracker, Run]:
    one = Tracker(uri=shared_store, experiment="laws", root=Path())
    return one, log_study(one, "laws", WINNER)


# PyYAML writes the control character "next line" as it is, and reads a blank
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x85$'\\"))


@given(st.lists(NAMES.map("tracking.run_name='{}'".format)))
@settings(max_examples=30, deadline=None)
def test_any_names_come_back(one_study: tuple[Tracker, Run], overrides: list[str]) -> None:
    tracker, run = one_study
    with run.folder("sweep") as place:
        write(place / "best.yaml", "laws", [repeating(*overrides)])
    assert overrides_of("laws", tracker) == overrides


# === the name ===


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("heads-12ab", "heads-12ab"),
        ("heads-12ab-2", "heads-12ab-2"),
        ("heads-9", "heads-9f"),
        ("lr", "lr_dropout"),
        ("it's", "it's"),
    ],
    ids=["name", "longer name", "prefix", "prefix of the only one", "quote"],
)
def test_a_study_is_found_by_its_name_or_a_unique_prefix(
    tracker: Tracker, asked: str, found: str
) -> None:
    for name in ("heads-12ab", "heads-12ab-2", "heads-9f", "lr_dropout", "it's"):
        log_study(tracker, name, repeating(f'tracking.run_name="{name}"'))
    assert overrides_of(asked, tracker) == [f'tracking.run_name="{found}"']


def trained(tracker: Tracker, loss: float) -> str:
    run = tracker.create("a trial", {"catdog.kind": "trial"})
    run.metrics({"best/val_loss": loss, "best/val_accuracy": 0.92})
    run.end("FINISHED")
    return run.run_id


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_best_trial_that_diverged_is_not_repeated(tracker: Tracker, loss: float) -> None:
    for name, run_id in (("bad", trained(tracker, loss)), ("good", trained(tracker, 0.5))):
        log_study(tracker, name, Winner(0, run_id, [0.92], overrides=["seed=1"]))
    assert overrides_of("good", tracker) == ["seed=1"]
    with pytest.raises(ConfigError, match="best trial of bad .*diverged.*optimizer.lr.*--study"):
        overrides_of("bad", tracker)


def test_a_study_does_not_count_trials_that_an_earlier_version_counted(tracker: Tracker) -> None:
    losses = [0.5, float("nan"), float("inf"), 0.6]
    study = optuna.create_study(direction="maximize")
    for value, loss in zip((0.8, 0.92, 0.91, 0.7), losses, strict=True):
        ran = {names.RUN_ID: trained(tracker, loss)}
        study.add_trial(create_trial(value=value, user_attrs=ran))
    config = OmegaConf.create({"objective": {"metric": "val/accuracy"}})
    info: Any = SimpleNamespace(directions=["maximize"], config=config, load=lambda: study)
    found = Result(tracker, tracker.create("study", {"catdog.kind": "sweep"}), info)
    assert [trial.number for trial in found._winners] == [0]


def test_of_studies_with_one_name_the_latest_counts(tracker: Tracker) -> None:
    for seed in range(3):
        run = log_study(tracker, "mine", repeating(f"seed={seed}"))
    assert overrides_of("mine", tracker) == overrides_of("mi", tracker) == ["seed=2"]
    tracker.client.delete_run(run.run_id)
    assert overrides_of("mine", tracker) == ["seed=1"], "what is in the trash counts no more"


MANY = [f"other-{k}" for k in range(7)]


@pytest.mark.parametrize(
    ("logged", "asked", "said"),
    [
        (["heads-1", "heads-2"], "heads", r"2 studies in .*: heads-2, heads-1; try `\S*heads-2`"),
        (["heads-1", "zoo"], "haeds-1", r"no such study .*nearest: heads-1; try `\+best=heads-1`"),
        (["heads-1", "zoo"], "qqq", r"no such study .*the latest: zoo, heads-1; try `\+best=zoo`"),
        (["heads-1"], "eads-1", r"no such study .*nearest: heads-1; try `\+best=heads-1`"),
        (["lr (ü) 2"], "lr (u) 2", r"""nearest: lr \(ü\) 2; try `'\+best="lr \(ü\) 2"'`"""),
        (MANY, "qqq", r"the latest: other-6, .*, other-2 and 2 more; try `\+best=other-6`"),
        (MANY, "other", r"prefix of 7 studies .*other-6, .*, other-2 and 2 more; try"),
        (["heads-1"], "", r"\+best=: no such study .*the latest: heads-1"),
        ([], "heads", r"no study was logged to experiment .* of sqlite.*; try `python -m .* -m "),
    ],
    ids=[
        "prefix of several", "typo", "nothing near", "its end", "odd", "many", "prefix of many",
        "empty", "no study",
    ],
)  # fmt: skip
def test_a_name_that_fits_no_study_is_refused_with_the_names_that_are(
    tracker: Tracker, logged: list[str], asked: str, said: str
) -> None:
    for name in logged:
        log_study(tracker, name, WINNER)
    for other in ("run", "trial"):  # a trial's run has its study's name, too
        log_study(tracker, f"{asked or 'x'}-{other}", WINNER, kind=other)
    with pytest.raises(ConfigError, match=said) as error:
        overrides_of(asked, tracker)
    assert str(error.value).startswith(f"+best={asked}: ")
    assert f"experiment {tracker.experiment} of {tracker.uri}" in str(error.value)


def test_a_study_without_a_winner_says_so(tracker: Tracker) -> None:
    log_study(tracker, "heads-1")
    with pytest.raises(
        ConfigError, match=r"heads-1 \(finished\) has no finished .*try `.*catdog.ui"
    ):
        overrides_of("heads", tracker)


def test_the_best_of_several_directions_is_a_choice(tracker: Tracker) -> None:
    log_study(tracker, "heads-1", *front(3, 5, 8))
    with pytest.raises(
        ConfigError, match=r"heads-1 has several .*: 3, 5, 8; try `python -m catdog.train seed=3`"
    ):
        overrides_of("heads", tracker)


# === on the command line ===


IN_FULL = "head=mlp optimizer.lr=1e-05 \"data.path='a b'\""


@pytest.fixture
def found(shared_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study whose winner is found without naming store and experiment."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared_store)
    tracker = Tracker(uri=None, experiment="catdog", root=Path())
    if not tracker.find({}):
        log_study(tracker, "heads-1", repeating(*shlex.split(IN_FULL)))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", ""),
        ("-m seed=1,2 head=mlp", "-m seed=1,2 head=mlp"),
        ("best=x ~best ++best=x data.best=x", "best=x ~best ++best=x data.best=x"),
        ("+best=heads-1", IN_FULL),
        ("+best=\"'heads-1'\"", IN_FULL),
        ("+best=heads seed=3", f"{IN_FULL} seed=3"),
        ("seed=3 +best=heads", f"seed=3 {IN_FULL}"),
        (
            "optimizer.lr=0.1 ++data.path=2 +best=heads --cfg job",
            "optimizer.lr=0.1 ++data.path=2 head=mlp --cfg job",
        ),
        ("head=linear +best=heads data.path=2", "head=linear optimizer.lr=1e-05 data.path=2"),
    ],
)
def test_the_winner_takes_the_place_of_its_study(found: None, words: str, expected: str) -> None:
    assert train.with_best(shlex.split(words)) == shlex.split(expected)


def test_the_command_says_where_the_study_is(
    found: None,
    empty_store: Path,
    tracker: Tracker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri = f"sqlite:///{shutil.copy(empty_store, tmp_path)}"
    there = f"tracking.uri={uri}"
    quoted = f"tracking.uri='{tracker.uri}'"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////nowhere/mlflow.db")
    own = f"tracking.experiment={tracker.experiment}"
    other = Tracker(uri=uri, experiment="catdog", root=Path())
    log_study(other, "heads-1", repeating("seed=1"))
    log_study(tracker, "heads-1", repeating("seed=2"))
    for words, winner in (([there], ["seed=1"]), ([quoted, own], ["seed=2"]), ([quoted], IN_FULL)):
        expected = shlex.split(winner) if isinstance(winner, str) else winner
        assert train.with_best(["+best=heads-1", *words]) == [*expected, *words]


def test_a_study_that_is_not_there_is_refused_before_hydra_starts(found: None) -> None:
    with pytest.raises(ConfigError, match=r"\+best=lr: no such study.*heads-1"):
        train.with_best(["+best=lr"])


def test_looking_for_a_study_creates_nothing(
    found: None, shared_store: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no study was logged to experiment catodg"):
        train.with_best(["+best=heads-1", "tracking.experiment=catodg"])
    client = Tracker(uri=shared_store, experiment="catdog", root=Path()).client
    assert client.get_experiment_by_name("catodg") is None
    nowhere = tmp_path / "new" / "mlflow.db"
    with pytest.raises(ConfigError, match="no run was logged there yet"):
        train.with_best(["+best=heads-1", f"tracking.uri=sqlite:///{nowhere}"])
    assert not nowhere.parent.exists()


@pytest.mark.parametrize("words", ["-m +best=heads seed=1,2", "--cfg job +best=heads seed=1"])
def test_hydra_reads_the_words_with_the_winner_among_them(found: None, words: str) -> None:
    from hydra._internal.utils import get_args_parser

    read: Any = get_args_parser().parse_args(train.with_best(shlex.split(words)))
    assert "head=mlp" in read.overrides and "seed=1" in read.overrides[-1]


def test_a_quoted_experiment_is_the_same_experiment(found: None) -> None:
    words = ["+best=heads-1", "tracking.experiment='catdog'"]
    assert train.with_best(words)[0] == "head=mlp"
