"""Pictures survive what a failed run leaves behind, and import no more than needed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread

from catdog import figures, pages, plots

LR = np.logspace(-6, 0, 60)
SMOOTH = 0.1 + 0.6 / (1 + (LR / 1e-3)) + 50 * LR**3
RANGE: dict[str, Any] = {
    "lr": LR,
    "loss": SMOOTH,
    "smooth": SMOOTH,
    "suggestions": {"valley": 1.2e-3, "steep": 6e-4, "minimum": 5e-3},
    "chosen": 1e-3,
    "title": "of $_^$ & <b>",
}


def history(epochs: int, **changed: object) -> dict:
    falling = (0.5 / np.arange(1, epochs + 1)).tolist()
    rising = [1 - loss / 4 for loss in falling]
    lr = [1e-3] * epochs
    series = {"train/loss": falling, "val/loss": falling, "lr": lr}
    return series | {"train/accuracy": rising, "val/accuracy": rising} | changed


def with_gaps(values: np.ndarray) -> np.ndarray:
    gaps = values.copy()
    gaps[10], gaps[20], gaps[50:] = np.nan, -np.inf, np.inf
    return gaps


def page_text(path: Path) -> str:
    """Read a page without plotly.js itself."""
    return path.read_text(encoding="utf-8").split("window.PLOTLYENV")[-1]


RANGE_CASES = {
    "usual": {},
    "gaps": {"loss": with_gaps(SMOOTH), "smooth": with_gaps(SMOOTH)},
    "nothing finite": {"loss": SMOOTH * np.nan, "smooth": SMOOTH * np.nan},
    "no steps": {"lr": [], "loss": [], "smooth": []},
    "one step": {"lr": [1e-3], "loss": [0.7], "smooth": [0.7]},
    "huge": {"loss": SMOOTH * np.where(LR > 0.1, 1e300, 1), "smooth": SMOOTH},
    "nothing suggested": {"suggestions": {}, "chosen": None},
    "bad suggestions": {"suggestions": {"valley": None, "steep": np.nan, "minimum": 7.0}},
    "edges": {"suggestions": {"valley": 1e-6, "$_^$": 1.1e-6, "own": 1.0}, "chosen": 10.0},
    "zero chosen": {"chosen": 0.0},
}


@pytest.mark.parametrize("changed", RANGE_CASES.values(), ids=RANGE_CASES)
def test_lr_range_survives(tmp_path: Path, changed: dict) -> None:
    plots.lr_range_png(tmp_path / "a.png", **RANGE | changed)
    assert imread(tmp_path / "a.png").shape[:2] == (550, 990)
    pages.lr_range_html(tmp_path / "a.html", **RANGE | changed)
    assert "NaN" not in page_text(tmp_path / "a.html")


HISTORY_CASES = {
    "ten epochs": (history(10), 4),
    "one epoch": (history(1), 1),
    "two stages": (history(10, lr=[1e-3] * 6 + [3e-5] * 4), 10),
    "down to zero": (history(5, lr=[1e-3, 8e-4, 4e-4, 1e-4, 0.0]), 5),
    "diverged": (history(3, **{"val/loss": [np.nan] * 3, "train/loss": [9.0, np.inf, 1e30]}), 0),
    "nothing finite": ({key: [np.nan] * 2 for key in history(1)}, 1),
    "long": (history(400), 399),
}


@pytest.mark.parametrize(("series", "best"), HISTORY_CASES.values(), ids=HISTORY_CASES)
def test_curves_survive(tmp_path: Path, series: dict, best: int) -> None:
    plots.curves_png(tmp_path / "a.png", history=series, best_epoch=best, title="t")
    assert imread(tmp_path / "a.png").shape[:2] == (429, 990)
    pages.curves_html(tmp_path / "a.html", history=series, best_epoch=best, title="t")
    assert (f"best epoch {best}" in page_text(tmp_path / "a.html")) == (best > 0)


def test_gaps_and_blow_up_leave_the_curve_in_view() -> None:
    bad = with_gaps(SMOOTH)
    for loss in (SMOOTH, bad, np.where(LR > 0.05, 1e12, SMOOTH)):
        low, high = figures.loss_window(loss, loss)
        assert low < 0.1 and 0.7 < high < 1.2


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40), st.floats(1, 1e9))
@settings(max_examples=50, deadline=None)
def test_loss_window_holds_start_and_lowest_and_ignores_a_blow_up(
    curve: list[float], factor: float
) -> None:
    curve = curve[: len(curve) - (len(curve) % 10 == 9)]  # so that one more leaves the start alone
    low, high = figures.loss_window(curve, curve)
    start = float(np.median(curve[: max(1, len(curve) // 10)]))
    assert low < min(curve) <= start < high
    blown = [*curve, (max(curve) + 1) * factor]
    assert figures.loss_window(blown, blown) == (low, high)


def test_suggestions_sit_on_the_smoothed_curve() -> None:
    suggestions = {"late": LR[40], "early": LR[7], "off": 2.0, "none": None}
    marks = figures.on_curve(suggestions, LR, SMOOTH)
    assert [name for name, _, _ in marks] == ["early", "late"]
    assert [height for _, _, height in marks] == pytest.approx([SMOOTH[7], SMOOTH[40]])


@pytest.mark.parametrize("k", [2, 5, 15, 30])
def test_confusion_matrix(tmp_path: Path, k: int) -> None:
    matrix = np.eye(k, dtype=int) * 98 + 1
    matrix[-1] = 0
    names = [f"a rather long $_^$ number {index}" for index in range(k)]
    path = tmp_path / "a.png"
    plots.confusion_png(path, matrix=matrix, classes=names, title="t")
    height, width = imread(path).shape[:2]
    assert 700 < width <= 1250 and 600 < height <= 1250


def test_mistakes_differ_in_color_from_right_answers(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    plots.confusion_png(path, matrix=np.array([[90, 10], [0, 0]]), classes=["a", "b"], title="t")
    pixels = imread(path)[..., :3].reshape(-1, 3)
    colors, counts = np.unique((255 * pixels).round(), axis=0, return_counts=True)
    red, _, blue = colors[counts > 10_000].T
    assert (blue > red + 50).any() and (red > blue + 20).any()


@pytest.mark.parametrize("count", [0, 1, 3, 8, 25, 27])
def test_mistakes_of_any_number_and_shape(tmp_path: Path, count: int) -> None:
    shapes = [(40, 60, 3), (60, 40, 3), (1, 90, 3), (1500, 1100, 3)]
    photos = [np.full(shapes[index % 4], 9, np.uint8) for index in range(count)]
    captions = [f"cat, said $_^$ 0.98\ncat.{index}\udcff" + "x" * 90 for index in range(count)]
    path = tmp_path / "a.png"
    plots.mistakes_png(path, photos=photos, captions=captions, title="t")
    image = imread(path)
    assert image.shape[1] == 990
    assert image.shape[0] <= 1230  # five rows at most
    dark = (image[..., :3].max(axis=2) < 10 / 255).sum()
    assert dark > 1000 * count if count else dark == 0


def test_pages_need_no_network_and_repeat(tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        pages.lr_range_html(tmp_path / name, **RANGE)
    page = (tmp_path / "a.html").read_bytes()
    assert page == (tmp_path / "b.html").read_bytes()
    tags = re.findall(rb"<(?:script|link|img|iframe)\b[^>]*>", page.split(b"window.PLOTLYENV")[-1])
    head = re.findall(rb"<(?:script|link)\b[^>]*>", page[:2000])
    assert not [tag for tag in tags + head if b"http" in tag or b"src=" in tag]
    assert len(page) > 3_000_000


def test_page_shows_names_as_they_are(tmp_path: Path) -> None:
    pages.curves_html(tmp_path / "a.html", history=history(2), best_epoch=1, title="</script><b>é")
    text = page_text(tmp_path / "a.html")
    assert text.count("</script>") == 1
    assert "\\u0026lt;b\\u0026gt;" in text or "&lt;b&gt;" in text


def test_imports_stay_light(tmp_path: Path) -> None:
    code = """
import sys, catdog.pages, catdog.plots
heavy = {"matplotlib", "plotly"} & set(sys.modules)
catdog.plots.mistakes_png(sys.argv[1], photos=[], captions=[], title="t")
heavy |= {"matplotlib.pyplot", "plotly", "tensorflow", "pandas"} & set(sys.modules)
sys.exit(", ".join(heavy) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")], check=False)
    assert done.returncode == 0
