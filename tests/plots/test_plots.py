"""Pictures survive what a failed run leaves behind, and import no more than needed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread
from numpy.typing import NDArray

from catdog.plots import evaluation, html, layout, montage, png, scatter, style
from catdog.plots.scatter import Point
from catdog.plots.style import COLORS, format_lr

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
    png.lr_range_png(tmp_path / "a.png", **RANGE | changed)
    assert imread(tmp_path / "a.png").shape[:2] == (550, 990)
    html.lr_range_html(tmp_path / "a.html", **RANGE | changed)
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
    png.curves_png(tmp_path / "a.png", history=series, best_epoch=best, title="t")
    assert imread(tmp_path / "a.png").shape[:2] == (429, 990)
    html.curves_html(tmp_path / "a.html", history=series, best_epoch=best, title="t")
    assert (f"best epoch {best}" in page_text(tmp_path / "a.html")) == (best > 0)


def test_the_background_of_the_second_stage_is_shaded(tmp_path: Path) -> None:
    series, best = HISTORY_CASES["two stages"]
    for stage in (0, 6):
        shown = {"history": series, "best_epoch": best, "title": "t", "first_stage": stage}
        png.curves_png(tmp_path / f"{stage}.png", **shown)
        html.curves_html(tmp_path / f"{stage}.html", **shown)
    assert '"x0":6.5,"x1":10.5' in page_text(tmp_path / "6.html").replace(" ", "")
    assert '"x0":6.5' not in page_text(tmp_path / "0.html").replace(" ", "")
    plain, shaded = imread(tmp_path / "0.png"), imread(tmp_path / "6.png")
    changed = np.flatnonzero((plain != shaded).any(axis=(0, 2)))
    assert changed.min() > 0.2 * plain.shape[1], "the first stage's background stays white"


def test_gaps_and_blow_up_leave_the_curve_in_view() -> None:
    bad = with_gaps(SMOOTH)
    for loss in (SMOOTH, bad, np.where(LR > 0.05, 1e12, SMOOTH)):
        low, high = layout.loss_window(loss, loss)
        assert low < 0.1 and 0.7 < high < 1.2


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40), st.floats(1, 1e9))
@settings(max_examples=50, deadline=None)
def test_loss_window_holds_start_and_lowest_and_ignores_a_blow_up(
    curve: list[float], factor: float
) -> None:
    curve = curve[: len(curve) - (len(curve) % 10 == 9)]  # so that one more leaves the start alone
    low, high = layout.loss_window(curve, curve)
    start = float(np.median(curve[: max(1, len(curve) // 10)]))
    assert low < min(curve) <= start < high
    blown = [*curve, (max(curve) + 1) * factor]
    assert layout.loss_window(blown, blown) == (low, high)


def test_suggestions_sit_on_the_smoothed_curve() -> None:
    suggestions = {"late": LR[40], "early": LR[7], "off": 2.0, "none": None}
    marks = layout.place_on_curve(suggestions, LR, SMOOTH)
    assert [mark.name for mark in marks] == ["early", "late"]
    assert [mark.loss for mark in marks] == pytest.approx([SMOOTH[7], SMOOTH[40]])


def test_the_minimum_is_drawn_where_the_curve_has_it(tmp_path: Path) -> None:
    lowest = int(np.argmin(SMOOTH))
    (mark,) = layout.place_on_curve({"minimum": LR[lowest] / 10}, LR, SMOOTH)
    assert (mark.at, mark.loss) == pytest.approx((LR[lowest], SMOOTH[lowest]))
    assert mark.text == f"minimum / 10: {format_lr(LR[lowest] / 10)}"
    html.lr_range_html(tmp_path / "a.html", **RANGE | {"suggestions": {"minimum": mark.at / 10}})
    assert mark.text.replace("/", "\\u002f") in page_text(tmp_path / "a.html")


def test_a_test_that_found_nothing_says_so_in_both_formats(tmp_path: Path) -> None:
    changed = {"suggestions": {}, "nothing": "the loss does not fall"}
    html.lr_range_html(tmp_path / "a.html", **RANGE | changed)
    assert "no suggestion: the loss does not fall" in page_text(tmp_path / "a.html")
    png.lr_range_png(tmp_path / "a.png", **RANGE | changed)
    png.lr_range_png(tmp_path / "b.png", **RANGE | {"suggestions": {}})
    assert (imread(tmp_path / "a.png") != imread(tmp_path / "b.png"))[:80].any(), "its heading"


# === a study: learning rate against result ===


def points(*values: float | None, **changed: Any) -> list[Point]:
    """Return a trial for each value, failed where there is none; the first is the best."""
    return [
        Point(
            number=k, lr=10.0 ** (k % 5 - 5), value=value,
            state="FAIL" if value is None else "COMPLETE", best=k == 0 and value is not None,
            params={"optimizer.lr": 1e-3, "head": "<b>$_^$"},
        )
        for k, value in enumerate(values)
    ] + list(changed.values())  # fmt: skip


PRUNED = Point(90, 3e-3, 0.6, "PRUNED")
STUDIES = {
    "usual": points(0.3, 0.5, None, 0.45, 0.7, pruned=PRUNED),
    "one": points(0.3),
    "one failed": points(None),
    "all failed": points(None, None, None),
    "pruned without a value": [replace(PRUNED, value=None)],
    "equal": points(0.5, 0.5, 0.5),
    "zeros": points(0.0, 0.0),
    "one rate": [replace(point, lr=1e-3) for point in points(0.3, 0.5, None)],
    "decades": points(0.003, 0.5, None, 40.0),
    "decades with zero": points(0.0, 0.5, None, 40.0),
    "diverged": points(0.3, float("nan"), float("inf"), 1e30),
    "nothing finite": points(float("nan"), float("-inf")),
    "negative": points(-3.0, -400.0, None),
    "a front": [replace(point, best=True) for point in points(0.3, 0.5)],
    "many": points(*[0.3 + k / 500 for k in range(500)]),
    "far rates": [replace(PRUNED, lr=1e-300), replace(PRUNED, lr=100.0, number=1)],
}
STUDY: dict[str, Any] = {"metric": "val/loss <i>", "title": "of $_^$ & <b>"}


@pytest.mark.parametrize("trials", STUDIES.values(), ids=STUDIES)
def test_a_study_survives(tmp_path: Path, trials: list[Point]) -> None:
    shown = {"points": trials, "maximize": len(trials) > 3, **STUDY}
    png.lr_vs_loss_png(tmp_path / "a.png", **shown)
    assert imread(tmp_path / "a.png").shape[:2] == (550, 990)
    html.lr_vs_loss_html(tmp_path / "a.html", **shown)
    text = page_text(tmp_path / "a.html")
    assert "NaN" not in text and "Infinity" not in text
    for outcome in scatter.OUTCOMES:
        count = sum(point.outcome == outcome for point in trials)
        assert (f"{outcome} ({count})" in text) == (count > 0)


@pytest.mark.parametrize(
    ("state", "best", "outcome"),
    [
        ("COMPLETE", False, "complete"),
        ("PRUNED", False, "pruned"),
        ("FAIL", False, "failed"),
        ("COMPLETE", True, "best"),
    ],
)
def test_a_trial_is_drawn_by_its_outcome(state: str, best: bool, outcome: str) -> None:
    assert Point(0, 0.1, 0.5, state, best).outcome == outcome
    assert {*scatter.OUTCOMES} == {*png.MARKERS} == {*html.SYMBOLS}


@st.composite
def studies(draw: st.DrawFn) -> list[Point]:
    """Draw trials as studies leave them: any rates; values that are some digits apart."""
    scale = draw(st.sampled_from([1e-6, 1.0, 1e6]))
    value = st.integers(-10_000, 10_000).map(lambda k: scale * k / 1000)
    rows = draw(
        st.lists(
            st.tuples(
                st.floats(1e-12, 100.0),
                st.none() | value | st.sampled_from([np.nan, np.inf, -np.inf]),
                st.sampled_from(["COMPLETE", "PRUNED", "FAIL"]),
                st.booleans(),
            ),
            min_size=1,
            max_size=30,
        )
    )
    return [Point(k, *row) for k, row in enumerate(rows)]


@given(studies(), st.booleans())
@settings(deadline=None)
def test_every_trial_lies_once_in_the_picture_and_those_without_value_on_its_worse_edge(
    trials: list[Point], maximize: bool
) -> None:
    drawn = scatter.place_trials(trials, maximize=maximize)
    placed = [(outcome, *pair) for outcome, pairs in drawn.points.items() for pair in pairs]
    assert sorted(point.number for _, point, _ in placed) == [point.number for point in trials]
    assert all(point.outcome == outcome for outcome, point, _ in placed)
    assert all(drawn.x[0] < np.log10(point.lr) < drawn.x[1] for point in trials)
    assert all(drawn.y[0] < height < drawn.y[1] for _, _, height in placed)

    known = [(p.value, h) for _, p, h in placed if p.value is not None and np.isfinite(p.value)]
    edge = {h for _, p, h in placed if p.value is None or not np.isfinite(p.value)}
    assert len(edge) <= 1, "all trials without a value lie on one line"
    for value, height in known:
        assert height == pytest.approx(np.log10(value) if drawn.log else value)
        for at in edge:
            assert at < height if maximize else at > height
    values = [value for value, _ in known]
    assert drawn.log == (bool(values) and min(values) > 0 and max(values) > 10 * min(values))


@pytest.mark.parametrize("trials", [STUDIES["usual"], STUDIES["decades"]], ids=["plain", "log"])
def test_the_page_of_a_study_has_every_trial_where_it_is(
    tmp_path: Path, trials: list[Point]
) -> None:
    html.lr_vs_loss_html(tmp_path / "a.html", points=trials, maximize=False, **STUDY)
    drawn = json.loads(
        re.search(r'"lr-vs-loss",\s*(\[.*\]),\s*\{"', page_text(tmp_path / "a.html")).group(1)
    )
    found = {
        int(re.match(r"<b>trial (\d+)</b>", text).group(1)): (trace["name"], x, y, text)
        for trace in drawn
        for x, y, text in zip(trace["x"], trace["y"], trace["text"], strict=True)
    }
    assert found.keys() == {point.number for point in trials}
    worst = max(point.value for point in trials if point.value is not None)
    for point in trials:
        name, x, y, text = found[point.number]
        assert name.startswith(point.outcome)
        assert x == point.lr
        assert y == pytest.approx(point.value) if point.value is not None else y > worst
        shown = "no value" if point.value is None else f"{point.value:.6g}"
        assert text.startswith(f"<b>trial {point.number}</b>: {shown} ({point.state})")
        for param in point.params:
            assert f"<br>{param} = " in text
        assert "<b>$" not in text, "a value is no markup"


def colored(path: Path, outcome: str) -> NDArray[np.int_]:
    """Return the (row, column) of the pixels in the colour of an outcome, inside the axes."""
    color = [int(COLORS[outcome][k : k + 2], 16) for k in (1, 3, 5)]
    pixels = (255 * imread(path)[..., :3]).round().astype(int)
    rows, columns = np.nonzero((abs(pixels - color) < 40).all(axis=2))
    inside = (rows > 125) & (columns > 95)
    return np.stack([rows[inside], columns[inside]])


def test_the_best_trial_is_drawn_and_named_where_it_lies(tmp_path: Path) -> None:
    left = [Point(1, 1e-5, 0.2, "COMPLETE", best=True), Point(2, 1e-1, 0.9, "COMPLETE")]
    right = [replace(left[0], lr=1e-1), replace(left[1], lr=1e-5)]
    middles = []
    for trials in (left, right):
        path = tmp_path / "a.png"
        png.lr_vs_loss_png(path, points=trials, maximize=False, **STUDY)
        rows, columns = colored(path, "best")
        assert rows.min() > imread(path).shape[0] / 2, "a small loss lies below"
        assert columns.max() < 990 - 20, "its name is not cut off"
        assert np.ptp(columns) > 100, "its name is beside it"
        middles.append(columns.mean())
    assert middles[0] < 400 < 600 < middles[1]


def test_trials_without_a_value_lie_on_the_worse_edge_of_the_picture(tmp_path: Path) -> None:
    trials = points(0.3, None, 0.5, 0.4)
    heights = []
    for maximize in (False, True):
        path = tmp_path / "a.png"
        png.lr_vs_loss_png(path, points=trials, maximize=maximize, **STUDY)
        rows, _ = colored(path, "failed")
        others, _ = colored(path, "complete")
        heights.append((rows.mean(), others.min(), others.max()))
    (bad_low, top, _), (bad_high, _, bottom) = heights
    assert bad_low < top, "above, where losses are worse"
    assert bad_high > bottom, "below, where accuracies are worse"


# === mistakes ===


@pytest.mark.parametrize("k", [2, 5, 15, 30])
def test_confusion_matrix(tmp_path: Path, k: int) -> None:
    matrix = np.eye(k, dtype=int) * 98 + 1
    matrix[-1] = 0
    names = [f"a rather long $_^$ number {index}" for index in range(k)]
    path = tmp_path / "a.png"
    evaluation.confusion_png(path, matrix=matrix, classes=names, title="t")
    height, width = imread(path).shape[:2]
    assert 700 < width <= 1250 and 600 < height <= 1250


@pytest.mark.parametrize("k", [41, 150, 1000])
def test_a_matrix_of_many_classes_lists_what_is_confused(
    tmp_path: Path, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = np.eye(k, dtype=int) * 98
    matrix[3, 7], matrix[9, 2] = 5, 4
    names = [f"{'a' * 60}, number {index}" for index in range(k)]
    written: list[str] = []
    plain = evaluation.add_text
    monkeypatch.setattr(
        evaluation, "add_text", lambda ax, x, y, text, **how: (
            written.append(text), plain(ax, x, y, text, **how))
    )  # fmt: skip
    path = tmp_path / "a.png"
    evaluation.confusion_png(path, matrix=matrix, classes=names, title="t")
    height, width = imread(path).shape[:2]
    assert width < 1700 and height < 1100
    listed = [text for text in written if "→" in text][1:]
    assert [re.findall(r"\d+ a", text) for text in listed] == [["4 a", "8 a"], ["10 a", "3 a"]]
    assert "number 3 → 8 " in listed[0] and written[written.index(listed[0]) - 1] == "5"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("k", [2, 5, 30, 150])
def test_names_without_a_font_are_drawn_as_codes_without_warnings(tmp_path: Path, k: int) -> None:
    names = [f"猫と犬 {index} \N{CAT FACE}" for index in range(k)]
    path = tmp_path / "a.png"
    evaluation.confusion_png(path, matrix=np.ones((k, k), int), classes=names, title=names[0])
    assert imread(path).size
    for text in ("猫", "caf\u00e9", "\u0434\u043e\u043c"):
        assert style.drawable(text) in (text, text.encode("unicode_escape").decode())
    assert style.drawable("caf\u00e9 \u0434\u043e\u043c") == "caf\u00e9 \u0434\u043e\u043c"


def test_a_font_that_has_the_signs_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # no such font may be installed: another of matplotlib's own, DejaVu Serif, takes its place
    from matplotlib import font_manager

    own = font_manager.findfont("DejaVu Sans")
    serif = font_manager.findfont("DejaVu Serif")
    signs = frozenset(font_manager.get_font(serif).get_charmap())
    few = style.Font("DejaVu Sans", own, frozenset(map(ord, map(chr, range(128)))))
    monkeypatch.setattr(style, "fonts", lambda: (few, style.Font("DejaVu Serif", serif, signs)))
    assert style.drawable("é 猫") == "é \\u732b"
    monkeypatch.setattr(montage, "fonts", style.fonts)
    assert montage._file_for("é") == serif and montage._file_for("e") == ""


def test_long_names_stay_different() -> None:
    names = [f"{'a' * 30}{index}{'b' * 30}" for index in range(150)]
    short = style.shorten_all(names, 20)
    assert len(set(short)) == 150 and max(map(len, short)) <= 20
    short = style.shorten_all([f"{'a' * 12}{index:03}{'b' * 20}" for index in range(150)], 20)
    assert len(set(short)) == 150 and set(map(len, short)) == {31}  # as long as tells them apart


def test_mistakes_differ_in_color_from_right_answers(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    evaluation.confusion_png(
        path, matrix=np.array([[90, 10], [0, 0]]), classes=["a", "b"], title="t"
    )
    pixels = imread(path)[..., :3].reshape(-1, 3)
    colors, counts = np.unique((255 * pixels).round(), axis=0, return_counts=True)
    red, _, blue = colors[counts > 10_000].T
    assert (blue > red + 50).any() and (red > blue + 20).any()


def test_pages_need_no_network_and_repeat(tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        html.lr_range_html(tmp_path / name, **RANGE)
    page = (tmp_path / "a.html").read_bytes()
    assert page == (tmp_path / "b.html").read_bytes()
    tags = re.findall(rb"<(?:script|link|img|iframe)\b[^>]*>", page.split(b"window.PLOTLYENV")[-1])
    head = re.findall(rb"<(?:script|link)\b[^>]*>", page[:2000])
    assert not [tag for tag in tags + head if b"http" in tag or b"src=" in tag]
    assert len(page) > 3_000_000


def test_page_shows_names_as_they_are(tmp_path: Path) -> None:
    html.curves_html(tmp_path / "a.html", history=history(2), best_epoch=1, title="</script><b>é")
    text = page_text(tmp_path / "a.html")
    assert text.count("</script>") == 1
    assert "\\u0026lt;b\\u0026gt;" in text or "&lt;b&gt;" in text


def test_imports_stay_light(tmp_path: Path) -> None:
    code = """
import sys, catdog.plots.html, catdog.plots.png, catdog.plots.evaluation, catdog.plots.montage
heavy = {"matplotlib", "plotly"} & set(sys.modules)
catdog.plots.montage.save(sys.argv[1], photos=[], captions=[], title="t")
heavy |= {"matplotlib.pyplot", "plotly", "tensorflow", "pandas"} & set(sys.modules)
sys.exit(", ".join(heavy) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")], check=False)
    assert done.returncode == 0
