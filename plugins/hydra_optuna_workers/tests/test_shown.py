"""Names from outside move no cursor, no line and no direction."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna_workers.shown import shown, shown_lines

ODD = {
    "cat\x1b[31m": r"cat\x1b[31m",
    "a\nb\r\tc": r"a\nb\r\tc",
    "x\u202egpj.exe": r"x\u202egpj.exe",
    "\u2066a\u2069": r"\u2066a\u2069",
    "\x9b2J": r"\x9b2J",
    "a\u2028b": r"a\u2028b",
    "\udcff": r"\udcff",
    "\u200bzero": r"\u200bzero",
    "\U000e0041": r"\U000e0041",
    "Katze 🐈‍⬛ кошка 猫 é": "Katze 🐈‍⬛ кошка 猫 é",
    "می‌خواهم": "می‌خواهم",
}


@pytest.mark.parametrize(("name", "expected"), ODD.items())
def test_stand_ins(name: str, expected: str) -> None:
    assert shown(name) == expected
    assert shown(shown(name)) == expected


@given(st.text(st.characters()))
def test_any_text_is_one_line_that_can_be_written(text: str) -> None:
    line = shown(text)
    line.encode()
    assert len(line.splitlines()) <= 1
    assert not set(line) & set(map(chr, [*range(32), *range(127, 160)]))
    assert shown_lines(f"{text}\n{text}").count("\n") == 2 * text.count("\n") + 1
