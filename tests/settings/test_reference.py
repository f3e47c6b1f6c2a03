"""Every key of the configuration is described in one plain sentence."""

from __future__ import annotations

import re

import pytest

from catdog.settings import KeyInfo, describe, parse
from catdog.settings.reference import field_docs

DESCRIBED = describe()


def test_every_known_key_is_described_once() -> None:
    assert sorted(info.key for info in DESCRIBED) == sorted(parse.known_keys())


@pytest.mark.parametrize("info", DESCRIBED, ids=lambda info: info.key)
def test_a_description_is_one_plain_sentence(info: KeyInfo) -> None:
    text = info.description
    assert text, f"write a string literal below the field of {info.key}: one sentence"
    assert re.match(r"[A-Z]", text) and text.endswith("."), "a sentence"
    assert not re.search(r"[.!?]\s", text), "one sentence"
    assert len(text) <= 200
    assert not re.search(r"\b(None|null)\b", text), "'if unset' fits both Python and YAML"


@pytest.mark.parametrize("info", DESCRIBED, ids=lambda info: info.key)
def test_what_unset_means_is_said_where_a_key_may_be_unset(info: KeyInfo) -> None:
    if "null" in info.type and info.key != "data.path":  # whether it is needed depends on the data
        assert "unset" in info.description


@pytest.mark.parametrize(
    ("key", "type_", "default", "accepted"),
    [
        ("data.limit", "a whole number or null", None, ">= 3"),
        ("backbone.resize", "text", "squash", "squash, crop, pad"),
        ("head.units", "a list of whole numbers", [], ""),
        ("trainer.class_weight", "text or null", None, "null, balanced"),
        ("optimizer.nesterov", "true or false", False, ""),
        ("seed", "a whole number", 0, ">= 0 and <= 4294967295"),
    ],
)
def test_type_default_and_range_come_with_it(
    key: str, type_: str, default: object, accepted: str
) -> None:
    (info,) = (info for info in DESCRIBED if info.key == key)
    assert (info.type, info.default, info.accepted) == (type_, default, accepted)


class Undescribed:
    """A class whose fields have no string literals, all but one."""

    first: int = 1
    second: int = 2
    """On two
    lines."""
    third: int = 3

    def method(self) -> None:
        """Return nothing."""


def test_a_field_without_a_literal_has_no_description() -> None:
    assert field_docs(Undescribed) == {"second": "On two lines."}
