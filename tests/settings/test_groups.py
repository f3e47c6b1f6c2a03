"""Every bound of every setting is refused with the key, the value, what is accepted and a fix."""

from __future__ import annotations

import dataclasses
import re
import typing
from typing import Any

import pytest

from catdog import settings
from catdog.errors import ConfigError
from catdog.settings import OPTIMIZER_KEYS, Settings, parse
from catdog.settings.validation import Group

GROUPS = {f.name: f.default_factory for f in dataclasses.fields(Settings) if f.name not in
          ("threads", "seed")}  # fmt: skip
FIELDS = [(group, item) for group in GROUPS.values() for item in dataclasses.fields(group)]
BOUNDED = [
    pytest.param(group, item, bound, id=f"{group.key}.{item.name}-{bound}")
    for group, item in FIELDS
    for bound in item.metadata
    if bound != "options"
]
CHOICES = [
    pytest.param(group, item, id=f"{group.key}.{item.name}")
    for group, item in FIELDS
    if "options" in item.metadata
]


def refusal(build: Any, **values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        build(**values)
    return str(caught.value)


def parsed(dotted: str, value: Any) -> Any:
    """Return what one key becomes when it is given as on the command line."""
    group, _, leaf = dotted.rpartition(".")
    made = parse.parse({group: {leaf: value}} if group else {leaf: value})
    return getattr(getattr(made, group) if group else made, leaf)


def is_whole(group: type[Group], name: str) -> bool:
    return "int" in str(typing.get_type_hints(group)[name])


@pytest.mark.parametrize("group, item, bound", BOUNDED)
def test_a_value_past_a_bound_is_refused_and_names_key_value_and_bound(
    group: type[Group], item: Any, bound: str
) -> None:
    limit = item.metadata[bound]
    step = 1 if is_whole(group, item.name) else 1e-9 * max(1, abs(limit))
    past = {"minimum": limit - step, "above": limit, "maximum": limit + step, "below": limit}[
        bound
    ]
    said = refusal(group, **{item.name: past})
    key = f"{group.key}.{item.name}"
    sign = {"minimum": ">=", "above": ">", "maximum": "<=", "below": "<"}[bound]
    shown = past if is_whole(group, item.name) else float(past)
    assert said.startswith(f"{key}={shown}: expected a value ")
    assert f"{sign} {limit}" in said
    default = "null" if item.default is None else item.default
    assert said.endswith(f"try `{key}={default}`")


@pytest.mark.parametrize("group, item, bound", BOUNDED)
def test_a_value_just_inside_a_bound_is_not_refused_for_it(
    group: type[Group], item: Any, bound: str
) -> None:
    limit = item.metadata[bound]
    inside = {"above": 1e-9, "below": -1e-9}.get(bound, 0) + limit
    try:
        group(**{item.name: inside})
    except ConfigError as refused:  # it may still contradict another field
        assert "expected a value" not in str(refused)


@pytest.mark.parametrize("group, item", CHOICES)
def test_every_option_is_known_and_a_typo_lists_them_all(group: type[Group], item: Any) -> None:
    options = item.metadata["options"]
    assert item.default in options
    for option in options:
        try:
            assert getattr(group(**{item.name: option}), item.name) == option
        except ConfigError as refused:
            assert "expected one of" not in str(refused)
    said = refusal(group, **{item.name: "nosuch"})
    assert said.startswith(f"{group.key}.{item.name}=nosuch: expected one of ")
    listed = re.search("expected one of (.*?);", said).group(1).split(", ")
    assert listed == ["null" if option is None else option for option in options]


TWO_STAGES = {"backbone": {"unfreeze_from": "block_13"}, "finetune": {"epochs": 2}}


@pytest.mark.parametrize(
    "key, value, expected, fix",
    [
        ("data.name", "folder", "data.path=null: data=folder needs the folder", "data.path="),
        ("data.name", "kaggle", "kaggle competitions download", "data.path="),
        ("data.val_fraction", 0.9, "no photo is left", "data.val_fraction=0.1"),
        ("data.classes", ["cat"], "two or more different", ""),
        ("data.classes", ["cat", "cat"], "two or more different", ""),
        ("backbone.unfreeze_from", "block_16", "nothing would train it", "finetune.epochs=3"),
        ("backbone.unfreeze_from", "block_17", "block_16, Conv_1", "backbone.unfreeze_from="),
        ("backbone.unfreeze_from", "block_13_project", "before expanded_conv, block_1,", ""),
        ("head.dropout", 1, "0 <= dropout < 1", "head.dropout=0.2"),
        ("head.dropout", -0.1, "0 <= dropout < 1", "head.dropout=0.2"),
        ("head.dropout", [0.1, 0.2], "one per hidden layer (1)", "head.dropout=0.2"),
        ("head.dropout", [], "one per hidden layer (1)", "head.dropout=0.2"),
        ("head.units", [256, 0], "positive layer sizes", "head.units="),
        ("augment.views", 3, "augment=none has exactly 1", "augment.views=1"),
        ("augment.name", "flip", "augment=flip has exactly 2", "augment.views=2"),
        ("lr_range.min_lr", 2.0, "less than lr_range.max_lr=1.0", "lr_range.min_lr="),
        ("objective.direction", "maximize", "to be minimized", "objective.direction=minimize"),
        ("objective.metric", "val/accuracy", "to be maximized", "objective.direction=maximize"),
        ("finetune.epochs", 2, "backbone.unfreeze_from", "finetune.epochs=0"),
        ("schedule.warmup_epochs", 10, "trainer.epochs=10", "schedule.warmup_epochs=0"),
        ("schedule.final_lr", 1, "at most optimizer.lr=0.001", ""),
        ("threads", 0, "threads=0: expected a value >= 1", "threads=null"),
        ("seed", -1, "seed=-1: expected a value >= 0 and <= 4294967295", "seed=0"),
        ("seed", 2**32, "<= 4294967295", "seed=0"),
    ],
)
def test_what_cannot_work_is_refused(key: str, value: Any, expected: str, fix: str) -> None:
    said = refusal(parsed, dotted=key, value=value)
    assert expected in said
    assert fix in said


@pytest.mark.parametrize(
    "values, expected",
    [
        ({"backbone": {"name": "resnet50_v2", "alpha": 0.5}}, "backbone.alpha=0.5: resnet50_v2"),
        ({"lr_range": {"enabled": False, "apply": "valley"}}, "lr_range.enabled=true"),
        ({"head": {"units": [8, 4], "dropout": [0.5]}}, "one per hidden layer (2)"),
        ({"trainer": {"epochs": 3}, "schedule": {"warmup_epochs": 3}}, "less than trainer.epochs"),
        ({**TWO_STAGES, "schedule": {"warmup_epochs": 2}}, "less than finetune.epochs=2"),
        ({**TWO_STAGES, "schedule": {"final_lr": 1e-4}}, "expected at most finetune.lr=3e-05"),
        (
            {**TWO_STAGES, "backbone": {"name": "resnet50_v2", "unfreeze_from": "block_13"}},
            "resnet50_v2 can be cut before conv2_block1, conv2_block2,",
        ),
    ],
)
def test_fields_that_contradict_each_other_are_refused(
    values: dict[str, Any], expected: str
) -> None:
    assert expected in refusal(lambda: parse.parse(values))


@pytest.mark.parametrize(
    "key, given, taken",
    [
        ("trainer.epochs", 3.0, 3),
        ("optimizer.lr", 1, 1.0),
        ("schedule.final_lr", 0, 0.0),
        ("head.dropout", 0, 0.0),
        ("head.units", (8, 4.0), [8, 4]),
        ("data.path", 2024, "2024"),
        ("data.classes", [2023, 2024], ["2023", "2024"]),
        ("tracking.run_name", 7, "7"),
        ("trainer.patience", None, None),
        ("seed", 2.0, 2),
        ("threads", 4.0, 4),
        ("threads", None, None),
    ],
)
def test_numbers_and_text_are_fitted_to_the_field(key: str, given: Any, taken: Any) -> None:
    group, _, leaf = key.rpartition(".")
    other = {"name": "folder"} if key == "data.path" else {}
    made = parse.parse({group: {leaf: given, **other}} if group else {leaf: given})
    fitted = getattr(getattr(made, group) if group else made, leaf)
    assert fitted == taken
    assert type(fitted) is type(taken)
    if isinstance(taken, list):
        assert [type(item) for item in fitted] == [type(item) for item in taken]


@pytest.mark.parametrize(
    "key, value, expected",
    [
        ("trainer.epochs", 2.5, "a whole number"),
        ("trainer.epochs", "3", "a whole number"),
        ("trainer.epochs", True, "a whole number"),
        ("trainer.epochs", None, "a whole number"),
        ("trainer.patience", "never", "a whole number or null"),
        ("optimizer.lr", "1e-3", "a number"),
        ("optimizer.lr", float("nan"), "a number"),
        ("optimizer.lr", float("inf"), "a number"),
        ("optimizer.nesterov", 1, "true or false"),
        ("lr_range.enabled", "yes", "true or false"),
        ("head.units", 256, "a list of"),
        ("head.units", [8, "x"], "a list of"),
        ("head.dropout", True, "a number or a list of"),
        ("data.path", True, "text or null"),
        ("features.dir", None, "text"),
        ("seed", "x", "a whole number"),
        ("seed", 1.5, "a whole number"),
        ("seed", None, "a whole number"),
        ("threads", True, "a whole number"),
    ],
)
def test_a_value_of_another_type_is_refused(key: str, value: Any, expected: str) -> None:
    said = refusal(parsed, dotted=key, value=value)
    shown = "null" if value is None else repr(value) if isinstance(value, str) else value
    assert said.startswith(f"{key}={shown}: expected ")
    assert expected in said


@pytest.mark.parametrize("name", ["block_13", "block_13_expand"])
def test_a_block_is_known_by_its_first_layer_too(name: str) -> None:
    chosen = parse.parse({**TWO_STAGES, "backbone": {"unfreeze_from": name}})
    assert chosen.backbone.block == "block_13"
    assert settings.Backbone().block is None


def test_settings_work_in_a_notebook_and_cannot_change() -> None:
    chosen = settings.Optimizer(lr=3e-4)
    assert chosen.lr == 3e-4
    with pytest.raises(dataclasses.FrozenInstanceError):
        chosen.lr = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("name", OPTIMIZER_KEYS)
@pytest.mark.parametrize("key, value", [("momentum", 0.9), ("nesterov", True),
                                        ("weight_decay", 0.01), ("clipnorm", 1.0)])  # fmt: skip
def test_an_optimizer_takes_only_keys_that_it_has(name: str, key: str, value: Any) -> None:
    if key in OPTIMIZER_KEYS[name]:
        assert getattr(settings.Optimizer(name=name, **{key: value}), key) == value
    else:
        said = refusal(settings.Optimizer, name=name, **{key: value})
        assert f"optimizer.{key}={value}" in said


def test_bad_values_are_refused_before_anything_heavy_is_imported() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from catdog.settings import parse\n"
        "try: parse.parse({'optimizer': {'lr': -1}})\n"
        "except Exception as error: print(type(error).__name__)\n"
        "print(sorted({'tensorflow', 'keras', 'mlflow', 'numpy', 'hydra'} & set(sys.modules)))"
    )
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert asked.stdout.split("\n")[:2] == ["ConfigError", "[]"]
