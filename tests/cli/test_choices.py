"""A key that the chosen option ignores is refused, wherever it is set; what nobody set is not."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from optuna_workers.space import read

from catdog import settings
from catdog.cli import choices, overrides
from catdog.core import paths
from catdog.errors import ConfigError
from catdog.settings import Settings, parse, uses

CONF = str(paths.configs())

IGNORED = [
    ("data.path=photos", "data=demo", "data=folder"),
    ("data.path=photos", "data.name=demo", "data=folder"),
    ("backbone.weights_source=pypi", "backbone.weights=none", "backbone.weights=imagenet"),
    ("schedule.warmup_epochs=1", "schedule=constant", "schedule=warmup_cosine"),
    ("schedule.warmup_epochs=1", "schedule=cosine", "schedule=warmup_cosine"),
    ("schedule.warmup_epochs=1", "schedule=plateau", "schedule=warmup_cosine"),
    ("schedule.final_lr=1e-6", "schedule=constant", "schedule=cosine"),
    ("schedule.factor=0.5", "schedule=cosine", "schedule=plateau"),
    ("schedule.patience=2", "schedule=one_cycle", "schedule=plateau"),
    ("features.ram_mb=9", "features.mode=stream", "features.mode=cache"),
    ("+optimizer.momentum=0.9", "optimizer=adam", "optimizer=sgd"),
    ("+optimizer.weight_decay=0.1", "optimizer=nadam", "optimizer=adamw"),
]


def composed(*words: str) -> dict:
    with initialize_config_dir(CONF, version_base="1.3"):
        return overrides.plain(compose("train", list(words)))


def chosen(*words: str) -> Settings:
    return parse.parse(composed(*words), choices.named_keys(words))


def refusal(*words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        chosen(*words)
    return str(caught.value)


@pytest.mark.parametrize("word, choice, fix", IGNORED)
def test_a_key_that_the_chosen_option_ignores_is_refused(word: str, choice: str, fix: str) -> None:
    said = refusal(word, choice)
    assert said.startswith(word.lstrip("+").partition("=")[0])
    assert f"{choice.replace('.name', '')} would ignore it" in said
    assert said.endswith(f"try `{fix}`")


@pytest.mark.parametrize(
    "word, why",
    [
        ("finetune.lr=1e-4", "finetune.epochs=0 would ignore it; try `finetune.epochs=3`"),
        ("data.drop_above=0.9", "data.drop=null would ignore it; try `data.drop=<table>`"),
    ],
)
def test_a_key_of_what_is_off_by_default_is_refused(word: str, why: str) -> None:
    assert refusal(word).endswith(why)


def test_each_key_of_the_table_is_known_and_its_fix_lets_it_be_used() -> None:
    for key, use in uses.USES.items():
        assert key in parse.known_keys()
        chooser, _, value = use.override.partition("=")
        assert chooser == use.chooser
        assert use.admits(True if value == "true" else value)


@pytest.mark.parametrize(
    "words",
    [
        ["data.path=null"],
        ["schedule.warmup_epochs=0"],
        ["lr_range.enabled=false", "lr_range.steps=50", "lr_range.max_lr=2"],
        ["finetune.epochs=0", "finetune.lr=1e-4"],
        ["data=folder", "data.path=photos"],
        ["data=tfds", "data.path=photos"],
        ["schedule=one_cycle", "schedule.warmup_epochs=2"],
        ["optimizer=sgd", "optimizer.momentum=0.5"],
        ["+experiment=best", "schedule=constant"],
        ["+experiment=best", "optimizer=sgd"],
        ["+experiment=fast", "lr_range.enabled=false"],
        ["+experiment=original", "lr_range.apply=valley"],
    ],
)
def test_what_is_used_or_off_or_was_not_set_by_the_user_is_fine(words: list[str]) -> None:
    chosen(*words)


def test_what_a_recipe_set_for_another_option_is_not_recorded() -> None:
    assert chosen("+experiment=best", "schedule=constant").schedule == settings.Schedule()


def test_a_mapping_sets_its_keys() -> None:
    assert "data.path=photos" in refusal("data={path: photos}")


def test_a_recipe_that_contradicts_itself_is_refused() -> None:
    recipe = composed() | {"data": composed()["data"] | {"path": "photos"}}
    with pytest.raises(ConfigError, match="data=demo would ignore it"):
        parse.parse(recipe, ["experiment"])


def test_settings_made_in_python_are_checked_too() -> None:
    with pytest.raises(ConfigError, match=r"data\.path=photos: data=demo would ignore it"):
        Settings(data=settings.Data(path="photos"))
    own = {"optimizer": {"name": "adam", "momentum": 0.9}}
    with pytest.raises(ConfigError, match="optimizer=adam would ignore it, only sgd, rmsprop"):
        parse.parse(own, ["optimizer.momentum"])


def test_a_part_of_the_users_own_may_use_any_key_of_its_group() -> None:
    assert not uses.ignored({"schedule": {"name": "mine", "warmup_epochs": 3}})


SEARCHES = [
    (["schedule=constant", "schedule.warmup_epochs=0,1"], {}, "schedule=constant would ignore"),
    (["finetune.lr=interval(1e-5,1e-3)"], {}, "finetune.epochs=0 would ignore"),
    (["schedule=constant,cosine", "schedule.final_lr=1e-5,1e-6"], {}, "{schedule:[cosine]}"),
    (["schedule=constant,cosine", "schedule.final_lr=1e-5"], {}, "schedule.final_lr=choice(1e-5)"),
    (["finetune.epochs=0,3", "finetune.lr=1e-5,1e-6"], {}, "{finetune.epochs:[3]}"),
    (["lr_range.enabled=true,false", "lr_range.steps=20,50"], {}, "{lr_range.enabled:[True]}"),
    (
        ["schedule=constant,cosine", "schedule.final_lr=1e-5,1e-6"],
        {"schedule.final_lr": {"schedule": "cosine"}},
        "",
    ),
    (["schedule=constant,cosine", "schedule.final_lr=0"], {}, ""),
    (["schedule=cosine,plateau", "schedule.final_lr=1e-5,1e-6"], {}, ""),
    (["optimizer.lr=1e-3,1e-2", "head=linear,mlp", "lr_range.steps=20"], {}, ""),
    (
        ["schedule=constant,cosine", "seed=1,2", "schedule.final_lr=1e-5,1e-6"],
        {"seed": {"schedule": "cosine"}, "schedule.final_lr": {"seed": 2}},
        "",
    ),
]


@pytest.mark.parametrize("words, when, said", SEARCHES)
def test_a_search_is_refused_where_some_of_its_points_would_ignore_a_key(
    words: list[str], when: dict, said: str
) -> None:
    space = read(words, when=when)
    values, known = composed(*space.examples()[0]), space.canonical()
    if not said:
        choices.check_search(values, known, space.fixed)
        return
    with pytest.raises(ConfigError) as caught:
        choices.check_search(values, known, space.fixed)
    assert said in str(caught.value)


@pytest.mark.parametrize("words, when, said", [one for one in SEARCHES if "[" in one[2]])
def test_the_condition_that_a_refusal_names_lets_the_search_start(
    words: list[str], when: dict, said: str
) -> None:
    space = read(words, when=when)
    values = composed(*space.examples()[0])
    with pytest.raises(ConfigError) as caught:
        choices.check_search(values, space.canonical(), space.fixed)
    fix = shlex.split(str(caught.value).partition("try `")[2].rstrip("`"))
    (condition,) = OverridesParser.create().parse_overrides(fix[-1:])
    changed = {overrides.key_of(word): word for word in [*words, *fix[:-1]]}
    mended = read(list(changed.values()), when=condition.value())
    choices.check_search(values, mended.canonical(), mended.fixed)


@pytest.mark.parametrize("file", sorted(paths.sweeps().glob("*.yaml")), ids=lambda f: f.stem)
def test_the_searches_of_sweeps_pass(file: Path) -> None:
    sweeper = OmegaConf.load(file).hydra.sweeper
    space = read([], params=sweeper.params, when=sweeper.get("when"))
    values = composed(*space.examples()[0])
    parse.parse(values, choices.named_keys(space.examples()[0]))
    choices.check_search(values, space.canonical(), space.fixed)


@pytest.mark.parametrize(
    "stored, typed, kept",
    [
        (["data.path=photos", "seed=1"], [], ["seed=1"]),
        (["data=folder", "data.path=photos"], [], ["data=folder", "data.path=photos"]),
        (["seed=2", "schedule.final_lr=1e-6"], ["schedule=constant"], ["seed=2"]),
        (["lr_range.enabled=false", "lr_range.steps=20"], ["-m"], ["lr_range.enabled=false"]),
        (["no.such.key=1", "data.path=photos"], [], ["no.such.key=1", "data.path=photos"]),
    ],
)
def test_what_an_earlier_version_recorded_and_ignored_is_left_out(
    stored: list[str], typed: list[str], kept: list[str]
) -> None:
    assert choices.still_used(stored, typed) == kept


def test_the_command_refuses_before_anything_is_read(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "catdog.train", f"data.path={tmp_path}/nowhere"]
    command += [f"tracking.uri=sqlite:///{tmp_path}/m.db", f"hydra.run.dir={tmp_path}/h"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[1:] == [
        f"catdog: data.path={tmp_path}/nowhere: data=demo would ignore it, only folder, kaggle, "
        "tfds have this key; try `data=folder`"
    ]
    assert not (tmp_path / "m.db").exists()
