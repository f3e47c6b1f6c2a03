"""Every file in conf/ composes, is known to the settings and says the same defaults as they do."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
import sys
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from catdog.core import paths
from catdog.settings import OPTIMIZER_KEYS, Settings, parse

CONF = paths.configs()
ROOT = CONF.parent
OPTIONS = sorted(
    (path.parent.name, path.stem) for path in CONF.glob("*/*.yaml") if path.parent.name[0] != "_"
)
CHOICES = [option for option in OPTIONS if option[0] != "experiment"]
RECIPES = [name for group, name in OPTIONS if group == "experiment"]
ANNEAL = ("cosine", "warmup_cosine", "one_cycle")


@functools.cache  # a fifth of a second each
def composed(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        chosen: DictConfig = compose("train", list(overrides))
    return OmegaConf.to_container(chosen, resolve=True)  # type: ignore[return-value]


def chosen(*overrides: str) -> Settings:
    return parse.parse(composed(*overrides))


def needed(group: str, name: str) -> list[str]:
    return ["data.path=there"] if (group, name) in [("data", "folder"), ("data", "kaggle")] else []


def test_the_defaults_written_in_yaml_are_those_of_the_settings() -> None:
    assert chosen() == Settings()


def test_yaml_writes_every_known_key_and_no_other() -> None:
    plain = composed()
    written = {f"{k}.{leaf}" for k, own in plain.items() if isinstance(own, dict) for leaf in own}
    written |= {key for key, own in plain.items() if not isinstance(own, dict)}
    absent = {f"optimizer.{key}" for key in ("weight_decay", "momentum", "nesterov")}
    assert written == set(parse.known_keys()) - absent


@pytest.mark.parametrize("group, name", CHOICES)
def test_an_option_composes_with_all_keys_of_its_group(group: str, name: str) -> None:
    plain = composed(f"{group}={name}", *needed(group, name))
    section = getattr(parse.parse(plain), group)
    assert section.name == name
    fields = {item.name for item in dataclasses.fields(section)}
    if group == "optimizer":
        fields = {"name", *OPTIMIZER_KEYS[name]}
    assert set(plain[group]) == fields


@pytest.mark.parametrize("group", sorted({group for group, _ in CHOICES}))
def test_a_group_has_a_file_for_each_name_that_the_settings_know(group: str) -> None:
    field = next(f for f in dataclasses.fields(Settings) if f.name == group)
    named = next(f for f in dataclasses.fields(field.default_factory) if f.name == "name")
    assert {name for other, name in CHOICES if other == group} == set(named.metadata["options"])


def test_data_options_differ_in_the_name_only() -> None:
    options = [composed(f"data={name}", *needed("data", name)) for name in ("folder", "kaggle")]
    options.append(composed("data=tfds"))
    differing = {"name": "", "path": ""}
    assert all({**p["data"], **differing} == {**composed()["data"], **differing} for p in options)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_composes_and_opens_with_its_command(name: str) -> None:
    chosen(f"+experiment={name}")
    head = (CONF / "experiment" / f"{name}.yaml").read_text()
    assert f"python -m catdog.train +experiment={name}" in head


def test_the_original_recipe_is_the_notebook() -> None:
    notebook = chosen("+experiment=original")
    assert notebook.backbone.name == "mobilenet_v2"
    assert notebook.backbone.image_size == 250
    assert notebook.head.name == "flatten_mlp"
    assert notebook.head.pooling == "flatten"
    assert notebook.head.units == [1024, 512, 128]
    assert notebook.head.dropout == [0.5, 0.5, 0.25]
    assert (notebook.optimizer.name, notebook.optimizer.lr) == ("adam", 1e-3)
    assert (notebook.trainer.batch_size, notebook.trainer.epochs) == (64, 10)
    assert notebook.schedule.name == "constant"
    assert notebook.augment.name == "none"
    assert notebook.trainer.patience is None


def test_the_command_line_wins_over_a_recipe() -> None:
    changed = chosen("+experiment=original", "head=linear", "backbone.image_size=96")
    assert (changed.head.name, changed.backbone.image_size) == ("linear", 96)


@pytest.mark.parametrize("name", [name for group, name in CHOICES if group == "schedule"])
def test_schedules_that_anneal_turn_patience_off_unless_it_is_named(name: str) -> None:
    ordinary = {"constant": 3, "plateau": 6}.get(name)
    assert (ordinary is None) == (name in ANNEAL)
    assert chosen(f"schedule={name}").trainer.patience == ordinary
    assert chosen(f"schedule={name}", "trainer.patience=4").trainer.patience == 4


@pytest.mark.parametrize(
    "overrides, key, value",
    [
        (["head=flatten_mlp", "head.dropout=0.3"], "head.dropout", 0.3),
        (["head=flatten_mlp", "head.dropout=[0.1,0.2,0.3]"], "head.dropout", [0.1, 0.2, 0.3]),
        (["head=mlp", "head.units=[8,4]", "head.dropout=0"], "head.units", [8, 4]),
        (["optimizer=sgd", "optimizer.momentum=0"], "optimizer.momentum", 0.0),
        (["optimizer.lr=1e-4"], "optimizer.lr", 1e-4),
        (["data.classes=[dog,cat]"], "data.classes", ["dog", "cat"]),
        (["data=folder", "data.path=2024"], "data.path", "2024"),
        (["augment=light", "augment.views=9"], "augment.views", 9),
        (["trainer.patience=null"], "trainer.patience", None),
        (["lr_range.apply=valley"], "lr_range.apply", "valley"),
    ],
)
def test_values_arrive_typed_from_the_command_line(
    overrides: list[str], key: str, value: Any
) -> None:
    group, leaf = key.split(".")
    assert getattr(getattr(chosen(*overrides), group), leaf) == value


@pytest.mark.parametrize("folder", ["conf", "sweeps"])
def test_yamllint_finds_nothing(folder: str) -> None:
    pytest.importorskip("yamllint", reason="yamllint is a development tool")
    linted = subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (linted.returncode, linted.stdout) == (0, "")
