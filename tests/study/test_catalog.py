"""The searches in sweeps/: each says what it asks, composes, and is run by its name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from optuna_workers import SweepCallback
from optuna_workers.space.space import read

from catdog import sweep
from catdog.cli import hydra_app
from catdog.core import paths
from catdog.study import catalog
from catdog.study.catalog import HEADINGS, Search

FILES = sorted(paths.sweeps().glob("*.yaml"))
NAMES = [path.stem for path in FILES]


def composed(name: str, *overrides: str) -> DictConfig:
    """Compose as ``python -m catdog.train --config-dir sweeps --config-name <name>`` does."""
    place = f"hydra.searchpath=[file://{paths.configs()}]"
    with initialize_config_dir(str(paths.sweeps()), version_base="1.3"):
        return compose(name, [place, *overrides], return_hydra_config=True)


# === the files ===


def test_there_are_the_searches_that_the_readme_names() -> None:
    assert {"lr_dropout", "smoke"} <= set(NAMES)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_search_opens_with_its_question_its_budget_and_what_it_found(path: Path) -> None:
    head = path.read_text().split("\ndefaults:")[0]
    assert re.findall(r"^# (\w+):", head, re.MULTILINE) == list(HEADINGS)
    assert head.startswith("# question: ")
    (known,) = [search for search in catalog.searches(path.parent) if search.name == path.stem]
    assert known.question.endswith("?")
    assert known.budget


@pytest.mark.parametrize("name", NAMES)
def test_a_search_composes_and_each_kind_of_its_points_is_a_valid_run(name: str) -> None:
    cfg = composed(name)
    sweeper = cfg.hydra.sweeper
    assert cfg.hydra.mode.name == "MULTIRUN"
    assert cfg.hydra.job.name == name, "its studies, and their folders, are called by it"
    space = read([], sweeper.params, sweeper.get("when") or {}, OverridesParser.create())
    assert space.parameters, "it searches nothing"
    assert sweeper.n_trials is not None or space.finite
    for overrides in space.examples():
        hydra_app.settings_of(composed(name, *overrides))


@pytest.mark.parametrize("name", NAMES)
def test_the_callbacks_of_a_search_can_be_made(name: str) -> None:
    callbacks = composed(name).hydra.sweeper.callbacks
    assert next(iter(callbacks)) == "preflight", "it refuses before others write anything"
    made = [instantiate(node) for node in callbacks.values() if node is not None]
    assert all(isinstance(callback, SweepCallback) for callback in made)


# === what their heads say ===


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "# question: why?\n# budget: 3 trials\n# found: a, 98 %\na: 1\n",
            ("why?", "3 trials", "a, 98 %"),
        ),
        ("# found:\n# question:  x:  y\nhydra: {sweeper: {n_trials: 5}}\n", ("x:  y", "", "")),
        ("# question: one\n#   and two\n#\n# found: three\n", ("one and two", "", "three")),
        ("# what it is\n# question: one\n# other: two\n", ("one other: two", "", "")),
        ("a: 1\n# question: too late\n", ("", "", "")),
        ("# question: one\n\n# budget: too late\na: 1\n", ("one", "", "")),
        ("", ("", "", "")),
    ],
    ids=["usual", "trials", "long", "no heading", "not at the top", "after a gap", "empty"],
)
def test_the_head_of_a_search(text: str, expected: tuple, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    assert catalog.searches(tmp_path) == [Search("mine", *expected)]


def test_searches_come_by_name_and_other_files_are_none(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml", "c.md", "a-1/trials/multirun.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert [search.name for search in catalog.searches(tmp_path)] == ["a", "b"]
    assert catalog.searches(tmp_path / "nowhere") == []


# === the command ===


def run(*words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["sweep", *words])
    sweep.main()


def blocks(out: str) -> list[str]:
    """Return what the list says of each search."""
    return re.split(r"\n├.*\n", out)


@pytest.mark.parametrize("words", [(), ("-h",), ("--help",)], ids=["nothing", "-h", "--help"])
def test_without_a_name_the_searches_are_listed(words: tuple, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "600")
    run(*words, monkeypatch=monkeypatch)
    out, err = capsys.readouterr()
    assert err == ""
    for search in catalog.searches(paths.sweeps()):
        (shown,) = [block for block in blocks(out) if f" {search.name} " in block]
        for text in (search.question, search.budget, search.found):
            assert text in shown
    assert out.rstrip().endswith("python -m catdog.sweep NAME key=value ...")


def test_a_search_that_nobody_has_run_found_nothing_yet(capsys) -> None:
    sweep.print_searches([Search("mine", "why?", "", ""), Search("own", "how?", "", "it")])
    mine, own = blocks(capsys.readouterr().out)
    assert "nothing yet" in mine and "nothing yet" not in own


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lr_droput"], "there is no search 'lr_droput'; did you mean lr_dropout? There are: "),
        (["smoke.yaml"], "there is no search 'smoke.yaml'; did you mean smoke? There are: "),
        (["qqqqqq"], "there is no search 'qqqqqq'. There are: "),
        ([""], "there is no search ''. There are: "),
        (["seed=1", "smoke"], "the name of a search comes first, before seed=1: one of "),
        (["-m", "smoke"], "the name of a search comes first, before -m: one of "),
    ],
    ids=["typo", "with its ending", "nothing near", "empty", "override first", "flag first"],
)
def test_an_unknown_search_is_refused_with_the_known_ones(
    words: list[str], said: str, capsys, monkeypatch
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*words, monkeypatch=monkeypatch)
    assert ended.value.code == 1
    assert capsys.readouterr() == ("", f"catdog: {said}{', '.join(NAMES)}\n")


def test_a_name_starts_train_with_the_search_and_what_else_was_said() -> None:
    words = ["smoke", "optimizer=sgd", "--cfg", "all"]
    asked = subprocess.run(
        [sys.executable, "-m", "catdog.sweep", *words], capture_output=True, text=True
    )
    assert asked.returncode == 0, asked.stderr
    shown = OmegaConf.create(asked.stdout)
    assert shown.optimizer.name == "sgd"
    assert shown.hydra.job.config_name == "smoke"
    swept = yaml.safe_load((paths.sweeps() / "smoke.yaml").read_text())["hydra"]["sweeper"]
    assert shown.hydra.sweeper.params == swept["params"]
