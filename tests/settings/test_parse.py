"""Dictionaries become settings and come back; a typo finds the key that was meant."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from catdog.errors import ConfigError, shown
from catdog.settings import OPTIMIZER_KEYS, Settings, parse

GROUPS = {f.name: f.default_factory for f in dataclasses.fields(Settings) if f.name not in
          ("threads", "seed")}  # fmt: skip


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("optimizer.learning_rate", "optimizer.lr"),
        ("optimzer.lr", "optimizer.lr"),
        ("head.droput", "head.dropout"),
        ("lr", "optimizer.lr"),
        ("learning_rate", "optimizer.lr"),
        ("data.pth", "data.path"),
        ("trainer.epoch", "trainer.epochs"),
        ("epochs", "trainer.epochs"),
        ("dropout", "head.dropout"),
        ("sead", "seed"),
        ("optimizer.wd", "optimizer.weight_decay"),
        ("wd", "optimizer.weight_decay"),
    ],
)
def test_an_unknown_key_names_the_nearest(typed: str, meant: str) -> None:
    assert parse.nearest_key(typed) == meant
    assert f"{typed}=...: there is no such key; try `{meant}=...`" == str(parse.unknown_key(typed))


def test_a_key_like_no_other_points_to_help() -> None:
    assert parse.nearest_key("zzz") is None
    assert "try `--help`" in str(parse.unknown_key("zzz"))


@pytest.mark.parametrize("key", ["momentum", "nesterov", "weight_decay"])
def test_a_key_of_another_optimizer_names_its_owners(key: str) -> None:
    owners = [name for name, own in OPTIMIZER_KEYS.items() if key in own]
    said = str(parse.unknown_key(f"optimizer.{key}"))
    assert f"only {', '.join(owners)} ha" in said
    assert f"try `optimizer={owners[0]}`" in said


@pytest.mark.parametrize(
    "values, said",
    [
        ({"optimzer": {"lr": 1}}, "optimzer"),
        ({"optimizer": {"learning_rate": 1}}, "try `optimizer.lr=...`"),
        ({"optimizer": None}, "optimizer=null"),
        ({"trainer": 3}, "trainer=3"),
        ({"head": "mlp"}, "head=mlp"),
        ({"data": []}, "data=[]"),
    ],
)
def test_anything_but_known_groups_of_known_keys_is_refused(
    values: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse.parse(values)
    assert said in str(caught.value)


def test_nothing_given_is_all_defaults() -> None:
    assert parse.parse({}) == Settings()


def test_known_keys_are_the_fields_of_the_settings() -> None:
    flat = {"threads", "seed"} | {
        f"{name}.{item.name}" for name, group in GROUPS.items() for item in
        dataclasses.fields(group)
    }  # fmt: skip
    assert sorted(parse.known_keys()) == sorted(flat)


def test_every_known_key_is_its_own_nearest() -> None:
    assert [parse.nearest_key(key) for key in parse.known_keys()] == parse.known_keys()


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=30))
def test_any_unknown_key_gets_an_answer(typed: str) -> None:
    assume(typed not in parse.known_keys())
    assert shown(typed) in str(parse.unknown_key(typed))


def values_of(group: type, item: dataclasses.Field) -> st.SearchStrategy[Any]:
    """Draw what may be written for a field, good or bad."""
    near = [bound for bound in item.metadata.values() if isinstance(bound, (int, float))]
    kinds: list[st.SearchStrategy[Any]] = [
        st.integers(-2, 70),
        st.floats(0, 2),
        st.sampled_from([*near, item.default, None, True, "1"])
        if item.default is not dataclasses.MISSING
        else st.lists(st.integers(1, 9), max_size=3),
    ]
    if "options" in item.metadata:
        kinds.append(st.sampled_from(item.metadata["options"]))
    if "list" in str(item.type):
        kinds.append(st.lists(st.floats(0, 0.9) | st.integers(0, 9) | st.text("ab"), max_size=3))
    return st.one_of(kinds)


def written(group: type) -> st.SearchStrategy[dict[str, Any]]:
    """Draw a group with at most two of its keys written."""
    fields = dataclasses.fields(group)
    one = st.sampled_from(fields).flatmap(
        lambda item: st.tuples(st.just(item.name), values_of(group, item))
    )
    return st.lists(one, max_size=2).map(dict)


FIELD_TYPES = {
    (name, item.name): item.type for name, group in GROUPS.items() for item in
    dataclasses.fields(group)
}  # fmt: skip


def as_text(value: Any) -> Any:
    return [str(item) for item in value] if isinstance(value, list) else str(value)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(sorted(GROUPS)), max_size=2, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: written(GROUPS[name]) for name in names})
    )
)
def test_accepted_values_come_back_from_plain_dictionaries(values: dict[str, Any]) -> None:
    try:
        made = parse.parse(values)
    except ConfigError:
        assume(False)
        raise
    plain = dataclasses.asdict(made)
    assert parse.parse(plain) == made
    assert dataclasses.asdict(parse.parse(plain)) == plain
    for name, own in values.items():
        for key, value in own.items():
            wanted = "str" in FIELD_TYPES[name, key] and not isinstance(value, (str, type(None)))
            assert plain[name][key] == (as_text(value) if wanted else value)


@settings(deadline=None)
@given(
    st.sampled_from(sorted(GROUPS)).flatmap(lambda n: st.tuples(st.just(n), written(GROUPS[n])))
)
def test_a_group_is_accepted_or_refused_with_its_key(case: tuple[str, dict[str, Any]]) -> None:
    name, values = case
    try:
        parse.parse({name: values})
    except ConfigError as refused:
        assert str(refused).startswith((f"{name}.", "schedule.", "finetune."))
