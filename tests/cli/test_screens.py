"""What a command shows in a terminal: it fits, it is catdog's own, and silence is announced."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from conftest import Lab, environment
from helpers.pages import ROOT
from rich.cells import cell_len

sys.path.insert(0, str(ROOT / "benchmarks"))
from screens import NOISE, Screen, watch

pytestmark = pytest.mark.slow

WHOLE = ("python -m", "http://", "next: python -m")
"""Starts of lines that a terminal wraps itself, since they are to be pasted."""

ANNOUNCED = [
    "Reading configuration",
    "Opening the MLflow store",
    "Loading TensorFlow",
    "Building mobilenet_v2",
    "Logging",
]


@pytest.fixture(scope="module")
def shown(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Screen]:
    """A training at each width; 0 is no terminal."""
    home = tmp_path_factory.mktemp("home")
    env = {**environment(home, lab.fonts), "TERM": "xterm-256color"}
    words = [sys.executable, "-m", "catdog.train", *lab.overrides(), "hydra.run.dir=hydra/shown"]
    return {columns: watch(words, lab.folder, env, columns) for columns in (80, 200, 0)}


@pytest.mark.parametrize("columns", [80, 200, 0])
def test_a_training_fits_and_says_what_it_does(shown: dict[int, Screen], columns: int) -> None:
    screen = shown[columns]
    assert screen.status == 0, screen.text
    wide = [
        line for line in screen.lines
        if cell_len(line) > (columns or 200) and not line.startswith(WHOLE)
    ]  # fmt: skip
    assert not wide
    assert not [line for line in screen.lines if NOISE.search(line)]
    places = [screen.text.find(one) for one in ANNOUNCED]
    assert places == sorted(places) and places[0] >= 0
    coloured = any("\x1b[" in text for _, text in screen.chunks)
    assert coloured is bool(columns)


def test_no_color_is_heeded(lab: Lab, tmp_path: Path) -> None:
    env = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": "1"}
    screen = watch([sys.executable, "-m", "catdog.sweep"], lab.folder, env, 80)
    assert screen.status == 0 and max(map(cell_len, screen.lines)) <= 80
    assert not any("\x1b[3" in text for _, text in screen.chunks), "a colour"
