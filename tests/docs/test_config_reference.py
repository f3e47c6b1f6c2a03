"""The reference of the configuration has a sentence for every key and option, and no other."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import yaml
from helpers.pages import ROOT

from catdog import settings
from catdog.settings import parse


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    path = ROOT / "docs" / "config_reference.py"
    spec = importlib.util.spec_from_file_location("config_reference", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules["config_reference"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_key_and_option_has_a_sentence_and_every_sentence_a_key(
    reference: ModuleType,
) -> None:
    assert reference.problems() == [], "mend docs/reference/sentences.yaml"


def test_its_keys_are_those_that_a_run_knows(reference: ModuleType) -> None:
    names = [info.key for keys in reference.groups().values() for info in keys]
    assert sorted(names) == sorted(parse.known_keys())


def test_every_file_of_conf_is_an_option(reference: ModuleType) -> None:
    there = {(path.parent.name, path.stem) for path in (ROOT / "conf").glob("*/*.yaml")}
    assert {(g, name) for g, own in reference.options().items() for name in own} == there


@pytest.mark.parametrize(
    "place, name",
    [("sweeper", "n_jobs"), ("samplers", "tpe"), ("pruners", "median")],
)
def test_a_missing_sentence_is_noticed(
    reference: ModuleType, monkeypatch: pytest.MonkeyPatch, place: str, name: str
) -> None:
    said = reference.sentences()
    del said[place][name]
    monkeypatch.setattr(reference, "sentences", lambda: said)
    assert reference.problems() == [f"{place}: {name} has no sentence"]


def test_an_option_without_a_sentence_and_a_sentence_without_a_key_are_noticed(
    reference: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = reference.sentences()
    del said["options"]["head"]["mlp"]
    said["sweeper"]["n_workers"] = "It is called otherwise."
    monkeypatch.setattr(reference, "sentences", lambda: said)
    assert reference.problems() == [
        "sweeper: there is no n_workers",
        "options.head: mlp has no sentence",
    ]


def test_a_key_whose_field_has_no_sentence_is_noticed(
    reference: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = [replace(info, description="") for info in settings.describe()[:1]]
    monkeypatch.setattr(reference.settings, "describe", lambda: bare)
    assert reference.problems() == ["data.name has no sentence"]


def test_sentences_are_sentences(reference: ModuleType) -> None:
    def leaves(node: Any) -> list[str]:
        return [x for v in node.values() for x in (leaves(v) if isinstance(v, dict) else [v])]

    every = leaves(reference.sentences()) + [info.description for info in settings.describe()]
    assert [said for said in every if not said.endswith(".") or "|" in said] == []


def test_the_tables_show_defaults_and_ranges(reference: ModuleType) -> None:
    page = reference.markdown()
    assert "| `optimizer.lr` | `0.001` | a number >\xa00 and ≤\xa0100 | Learning rate" in page
    assert "| `augment.views` | `1` | a whole number ≥\xa01 and ≤\xa064 |" in page
    assert "| `trainer.patience` | `3` | a whole number ≥\xa01, or `null` |" in page
    assert "| `trainer.class_weight` | `null` | `null`, `balanced` |" in page
    assert "`false` | `true` or `false` |" in page
    assert "early stopping and `schedule=plateau`." in page
    assert "`optimizer.momentum=0.9`, `optimizer.nesterov=true` |" in page
    assert "| `n_trials` | `null` |" in reference.sweeper_markdown()


def test_every_row_has_as_many_cells_as_its_head(reference: ModuleType) -> None:
    for page in (reference.markdown(), reference.sweeper_markdown()):
        for table in page.split("\n\n"):
            rows = [line for line in table.splitlines() if line.startswith("|")]
            assert len({row.count("|") for row in rows}) <= 1, rows


def test_the_default_options_are_those_of_train(reference: ModuleType) -> None:
    listed = yaml.safe_load((ROOT / "conf" / "train.yaml").read_text())["defaults"]
    assert {"data": "demo"} in listed
    assert reference.defaults()["data"] == "demo"
    assert reference.defaults()["schedule"] == "constant"
