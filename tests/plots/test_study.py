"""Optuna's pictures of a study: those that show something, as PNG and as page, and no others."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from matplotlib.image import imread
from optuna import Study
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from catdog.plots.study import PLOTS, copied
from catdog.plots.study import draw as draw_study

LR = FloatDistribution(1e-5, 1e-1, log=True)
RATE = FloatDistribution(0.0, 0.7)
HEAD = CategoricalDistribution(["linear", "mlp", None])
KINDS = {"optimizer.lr": LR, "head.dropout": RATE, "head": HEAD}


def study(*directions: str, name: str = "heads-1") -> Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(directions=directions or ["minimize"], study_name=name)


def add(to: Study, *values: float, state: str = "COMPLETE", **params: Any) -> None:
    """Add a trial; ``__`` in a parameter's name stands for a dot."""
    known = {name.replace("__", "."): value for name, value in params.items()}
    kinds = {name: KINDS.get(name, RATE) for name in known}
    steps = {1: 0.9, 2: 0.8} if state == "PRUNED" else {}
    to.add_trial(
        create_trial(state=TrialState[state], params=known, distributions=kinds,
                     values=list(values) or None, intermediate_values=steps,
                     user_attrs={"slot": 1})
    )  # fmt: skip


def searched(*directions: str) -> Study:
    """Return a study as a search leaves it, one trial still running."""
    made, several = study(*directions), len(directions) > 1
    for k in range(8):
        head = {} if several else {"head": HEAD.choices[k % 3]}
        values = [0.1 * (k - 3) ** 2 + j for j in range(len(directions) or 1)]
        add(made, *values, optimizer__lr=10.0 ** (-1 - k % 4), head__dropout=k / 20, **head)
    if not several:
        add(made, state="PRUNED", optimizer__lr=1e-2, head__dropout=0.3, head="mlp")
    add(made, state="FAIL", optimizer__lr=1e-1, head__dropout=0.0)
    made.ask()
    return made


@dataclass
class Drawn:
    """What drawing left in a folder, what it left out, and what it left behind."""

    folder: Path
    left_out: dict[str, str]
    remarks: list[str]

    @property
    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    def page(self, name: str) -> str:
        """Read a page without plotly.js itself."""
        text = (self.folder / f"{name}.html").read_text(encoding="utf-8")
        return text.split("window.PLOTLYENV")[-1].replace("\\u002f", "/")


class Remarks(logging.Handler):
    """Collects what libraries would print."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def draw(folder: Path, of: Study, *metrics: str) -> Drawn:
    remarks, logger = Remarks(), logging.getLogger("optuna")
    logger.addHandler(remarks)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            left_out = draw_study(folder, of, metrics or ["val/loss"])
    finally:
        logger.removeHandler(remarks)
    said = [str(one.message) for one in warned if "optuna" in str(one.category).lower()]
    return Drawn(folder, left_out, remarks.said + said)


def both(names: str) -> set[str]:
    return {f"{name}.{end}" for name in names.split() for end in ("png", "html")}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    return draw(tmp_path_factory.mktemp("one"), searched())


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    made = searched("minimize", "maximize")
    return draw(tmp_path_factory.mktemp("two"), made, "val/loss", "val/accuracy")


USUAL = "history importances slice parallel contour timeline"


def test_every_picture_of_a_search_is_there_twice(one: Drawn) -> None:
    assert one.names == both(USUAL)
    assert one.left_out == {"pareto": "there is one direction"}


def test_with_two_directions_there_is_their_front_too(two: Drawn) -> None:
    assert two.names == both(f"{USUAL} pareto")
    assert two.left_out == {}
    assert "val/loss" in two.page("pareto") and "val/accuracy" in two.page("pareto")


@pytest.mark.parametrize("name", ["history", "importances", "slice", "parallel", "contour"])
def test_a_page_names_the_objective_and_what_was_swept(one: Drawn, two: Drawn, name: str) -> None:
    for page in (one.page(name), two.page(name)):
        assert "val/loss" in page
        assert ("optimizer.lr" in page) == (name != "history")


def test_the_timeline_shows_what_became_of_each_trial(one: Drawn) -> None:
    for state in ("COMPLETE", "PRUNED", "FAIL", "RUNNING"):
        assert f'"name":"{state}"' in one.page("timeline")


def test_pages_need_no_network_and_pictures_are_large_enough_to_read(one: Drawn) -> None:
    for path in one.folder.glob("*.html"):
        page = path.read_bytes()
        tags = re.findall(
            rb"<(?:script|link|img)\b[^>]*>", page[:2000] + one.page(path.stem).encode()
        )
        assert not [tag for tag in tags if b"http" in tag or b"src=" in tag]
        assert len(page) > 3_000_000, "plotly itself"
        assert f'id="{path.stem}"'.encode() in page, "an id of its own would differ each time"
    for path in one.folder.glob("*.png"):
        height, width = imread(path).shape[:2]
        assert 700 < width < 2000 and 400 < height < 2000, path.name


def test_a_panel_for_each_parameter_has_room(one: Drawn) -> None:
    assert imread(one.folder / "contour.png").shape[0] > 3 * 250, "three rows of panels"


def nothing_complete(made: Study) -> None:
    add(made, state="FAIL", optimizer__lr=0.1)
    add(made, state="PRUNED", optimizer__lr=0.01)


def one_complete(made: Study) -> None:
    add(made, 0.5, optimizer__lr=0.1, head__dropout=0.2)
    add(made, state="FAIL", optimizer__lr=0.01, head__dropout=0.3)


def nothing_swept(made: Study) -> None:
    add(made, 0.5)
    add(made, 0.4)


def one_swept(made: Study) -> None:
    add(made, 0.5, optimizer__lr=0.1, head__dropout=0.2)
    add(made, 0.4, optimizer__lr=0.01, head__dropout=0.2)


def four_directions(made: Study) -> None:
    add(made, 0.1, 0.2, 0.3, 0.4)


ONE = ["minimize"]


@pytest.mark.parametrize(
    ("fill", "directions", "drawn", "reason"),
    [
        (nothing_complete, ONE, "timeline", "no trial is complete"),
        (one_complete, ONE, "history timeline", "0 parameters took several values"),
        (nothing_swept, ONE, "history timeline", "0 parameters took several values"),
        (one_swept, ONE, "history slice timeline", "1 parameters took several values, it needs 2"),
        (four_directions, ["minimize"] * 4, "history timeline", "there are 4 directions"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_picture_that_would_be_empty_is_left_out_with_the_reason(
    fill: Callable, directions: list[str], drawn: str, reason: str, tmp_path: Path
) -> None:
    made = study(*directions)
    fill(made)
    result = draw(tmp_path, made, *"abcd"[: len(directions)])
    shown = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert shown == both(drawn)
    assert result.left_out.keys() == PLOTS.keys() - set(drawn.split())
    assert any(said.startswith(reason) for said in result.left_out.values())


@pytest.mark.parametrize("module", ["visualization", "visualization.matplotlib"])
def test_a_picture_that_fails_costs_no_other_and_leaves_no_half(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*words: object, **options: object) -> None:
        raise ZeroDivisionError("a bug in Optuna")

    monkeypatch.setattr(f"optuna.{module}.plot_slice", fail)
    made = study()
    one_swept(made)
    result = draw(tmp_path, made)
    assert result.left_out["slice"] == "ZeroDivisionError: a bug in Optuna"
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == both("history timeline")


def test_of_many_parameters_the_first_that_varied_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def hear(name: str) -> Callable[..., Any]:
        def plot(of: Study, **options: Any) -> None:
            asked[name] = options.get("params")
            raise RuntimeError("drawing 36 panels takes long")

        return plot

    for name in ("slice", "parallel_coordinate", "contour", "param_importances"):
        monkeypatch.setattr(f"optuna.visualization.plot_{name}", hear(name))
    made = study()
    for k in range(3):
        add(made, 0.1 * k, still=0.5, **{f"p{n:02}": k / 10 for n in range(15)})
    draw(tmp_path, made)
    names = [f"p{n:02}" for n in range(15)]
    assert asked["contour"] == names[:6]
    assert asked["slice"] == asked["parallel_coordinate"] == names[:12]


def test_drawing_is_silent_and_leaves_no_trace(tmp_path: Path) -> None:
    import matplotlib
    from matplotlib import pyplot

    made = study()
    one_swept(made)
    optuna.logging.set_verbosity(optuna.logging.INFO)
    before, figures = dict(matplotlib.rcParams), pyplot.get_fignums()
    before.pop("backend")
    result = draw(tmp_path, made)
    assert result.remarks == []
    after = dict(matplotlib.rcParams)
    after.pop("backend")
    assert after == before, "Optuna changes the style for good"
    assert pyplot.get_fignums() == figures
    assert optuna.logging.get_verbosity() == optuna.logging.INFO


@pytest.mark.parametrize("directions", [["minimize"], ["maximize", "minimize"]], ids=str)
def test_a_copy_has_the_same_trials_and_needs_the_study_no_more(directions: list[str]) -> None:
    made = searched(*directions)
    copy = copied(made)
    assert (copy.study_name, copy.directions) == (made.study_name, made.directions)
    said = lambda of: [  # noqa: E731
        (t.number, t.state, t.values, t.params, t.distributions, t.intermediate_values,
         t.user_attrs, t.datetime_start, t.datetime_complete) for t in of.get_trials()
    ]  # fmt: skip
    before = said(made)
    assert said(copy) == before
    add(made, *[0.0] * len(directions))
    assert said(copy) == before
