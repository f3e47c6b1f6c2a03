"""``ui --study`` takes a study's name as typed: whole, or a unique prefix."""

from __future__ import annotations

from pathlib import Path

import pytest

from catdog.errors import ConfigError
from catdog.system.study_copies import database


def test_a_study_is_found_by_a_unique_prefix_and_others_are_named(tmp_path: Path) -> None:
    for name in ("heads", "heads-2", "lr-ab12"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "study.db").touch()
    assert database(tmp_path, "lr").endswith("/lr-ab12/study.db")
    assert database(tmp_path, "heads").endswith("/heads/study.db")
    with pytest.raises(ConfigError, match="a prefix of 2 .*there are: heads, heads-2; try"):
        database(tmp_path, "hea")
    with pytest.raises(ConfigError, match="no such study .* try `--study heads`"):
        database(tmp_path, "haeds")
