"""A study of ``catdog.ui --study`` is found by its name, as everywhere, or by the start of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from catdog.errors import ConfigError
from catdog.system.study_copies import database


@pytest.fixture(autouse=True)
def studies(tmp_path: Path) -> None:
    for name in ("heads", "heads-12ab", "lr_dropout-7b1efc5c", "lr_dropout-99", "zoo-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "study.db").touch()
    (tmp_path / "gone-1").mkdir()
    (tmp_path / "gone-1/study.db").symlink_to("nowhere")


@pytest.mark.parametrize(
    ("asked", "found"), [("heads", "heads"), ("heads-", "heads-12ab"), ("zoo", "zoo-1")]
)
def test_a_study_is_found_by_its_name_or_a_unique_prefix(
    asked: str, found: str, tmp_path: Path
) -> None:
    assert database(tmp_path, asked) == f"sqlite:///{tmp_path}/{found}/study.db"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            "lr",
            "a prefix of 2 in .*; there are: lr_dropout-7b1efc5c, lr_dropout-99; try `--study",
        ),
        ("haeds", "no such study .*; try `--study heads`"),
        ("", "no such study in .*; there are: heads, heads-12ab, lr_dropout-7b1efc5c, "),
        ("gone", "no such study in"),
    ],
)
def test_another_name_lists_what_there_is(asked: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        database(tmp_path, asked)
