"""What a search makes of the LR range test: the point that it tries first."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from optuna_workers import StudyInfo
from optuna_workers.space.space import Space, read

from catdog.study import first_point
from catdog.study.first_point import StartFromRangeTest
from catdog.suggest import print_suggestions

RATES = "optimizer.lr=tag(log, interval(1e-5, 1e-1))"
ANSWER = {"suggestions": {"valley": 2e-3, "steep": 5e-4, "minimum": 0.5}, "head.dropout": 0.2}

Answers = Callable[[Any], None]


def space(*words: str) -> Space:
    """Read a space as the sweeper does."""
    return read(list(words), {}, {}, OverridesParser.create())


def study(searched: Space) -> StudyInfo:
    """Return what a callback is told of a study over a space."""
    return StudyInfo(
        name="heads-1", identity="1", storage="", directory=Path("sweeps/heads-1"),
        directions=("minimize",), n_trials=4, parameters=searched.canonical(), space={},
        overrides=searched.fixed, config=OmegaConf.create(),
    )  # fmt: skip


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Tell what the test, which trains, would answer; without it, it must not be run."""

    def tell(said: Any) -> None:
        monkeypatch.setattr(
            first_point, "_run_range_test", lambda study: json.loads(json.dumps(said))
        )

    def run(study: StudyInfo) -> None:
        pytest.fail("the LR range test was run")

    monkeypatch.setattr(first_point, "_run_range_test", run)
    return tell


def first(words: tuple[str, ...], which: str = "valley") -> dict[str, float]:
    """Return the only point that is enqueued, which must lie in the space."""
    searched = space(*words)
    told = StartFromRangeTest(which).on_study_start(study(searched))
    assert told is not None and set(told) == {"enqueue"}
    (point,) = json.loads(told["enqueue"])
    assert searched.check(point) == point
    return point


DROPOUT = "head.dropout=interval(0.0, 0.7)"


@pytest.mark.parametrize(
    ("words", "which", "dropout", "point"),
    [
        ((RATES,), "valley", 0.2, {"optimizer.lr": 2e-3}),
        ((RATES,), "steep", 0.2, {"optimizer.lr": 5e-4}),
        ((RATES,), "minimum", 0.2, {"optimizer.lr": 0.1}),
        (("optimizer.lr=interval(0.01, 0.1)",), "valley", 0.2, {"optimizer.lr": 0.01}),
        ((RATES, DROPOUT), "valley", 0.2, {"optimizer.lr": 2e-3, "head.dropout": 0.2}),
        ((RATES, DROPOUT), "valley", 0, {"optimizer.lr": 2e-3, "head.dropout": 0}),
        ((RATES, DROPOUT), "valley", 0.9, {"optimizer.lr": 2e-3, "head.dropout": 0.7}),
        ((RATES, DROPOUT), "valley", [0.5, 0.25], {"optimizer.lr": 2e-3}),
        ((RATES, DROPOUT), "valley", None, {"optimizer.lr": 2e-3}),
        ((RATES, "head.dropout=choice(0.1,0.2)"), "valley", 0.3, {"optimizer.lr": 2e-3}),
        ((RATES, "head.dropout=0.3"), "valley", 0.3, {"optimizer.lr": 2e-3}),
        ((RATES, "x=interval(0.0, 1.0)", "head=choice(mlp)"), "valley", 0, {"optimizer.lr": 2e-3}),
    ],
    ids=[
        "alone", "steep", "above the interval", "below the interval", "with its dropout",
        "dropout 0", "dropout above", "a dropout per layer", "no dropout", "dropouts listed",
        "dropout fixed", "others are sampled",
    ],
)  # fmt: skip
def test_the_suggested_rate_is_tried_first(
    answer: Answers, words: tuple, which: str, dropout: Any, point: dict
) -> None:
    answer({**ANSWER, "head.dropout": dropout})
    assert first(words, which) == point


@pytest.mark.parametrize(
    "words",
    [(), ["optimizer.lr=0.01"], ["optimizer.lr=choice(1e-3, 1e-2)"], ["optimizer.lr=range(1,3)"]],
    ids=["not named", "fixed", "listed", "whole numbers"],
)  # fmt: skip
def test_without_an_interval_of_rates_no_test_is_run(
    answer: Answers, words: tuple, capsys
) -> None:
    assert StartFromRangeTest().on_study_start(study(space(*words, DROPOUT))) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("optimizer.lr is not searched in an interval")


@pytest.mark.parametrize(
    "said",
    [{}, {"suggestions": {}, "nothing": "the loss does not fall"}],
    ids=["the test failed", "it found nothing"],
)
def test_without_a_suggestion_the_search_starts_without_one(
    answer: Answers, said: dict, capsys
) -> None:
    answer({**said, "head.dropout": 0.2} if said else {})
    assert StartFromRangeTest().on_study_start(study(space(RATES, DROPOUT))) is None
    (line,) = capsys.readouterr().err.splitlines()
    why = said.get("nothing", "it came to no end")
    assert line == (
        f"The LR range test has no suggestion, since {why}: the search starts without one"
    )


def test_the_command_prints_suggestions_or_why_there_is_none(capsys) -> None:
    print_suggestions({"valley": 1.234e-3, "minimum": 0.01})
    out = capsys.readouterr().out
    assert "valley" in out and "optimizer.lr=1.2e-03" in out and "nan" not in out
    print_suggestions({}, "the loss does not fall")
    assert capsys.readouterr().out == (
        "LR range test: no suggestion, since the loss does not fall\n"
    )


def test_the_point_is_told_in_one_line(answer: Answers, capsys) -> None:
    answer({**ANSWER, "head.dropout": 0.9})
    first((RATES, DROPOUT), "minimum")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("LR range test: 5.0e-01 (minimum)")
    assert line.endswith("optimizer.lr=0.1 head.dropout=0.7")


@given(
    st.floats(1e-6, 1.0), st.floats(1e-6, 1.0), st.floats(1e-6, 1.0), st.floats(0.0, 0.9)
)  # fmt: skip
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_tried_first_always_lies_in_the_space(
    answer: Answers, rate: float, low: float, high: float, dropout: float
) -> None:
    assume(low < high)
    answer({"suggestions": {"valley": rate}, "head.dropout": dropout})
    point = first((f"optimizer.lr=interval({low!r}, {high!r})", "head.dropout=interval(0.1, 0.5)"))
    assert point["optimizer.lr"] == (rate if low <= rate <= high else low if rate < low else high)


def test_a_range_of_rates_can_be_started_from(answer: Answers) -> None:
    answer(ANSWER)
    assert first(("optimizer.lr=range(0.001, 0.1, 0.0015)",)) in (
        {"optimizer.lr": 0.001},
        {"optimizer.lr": 0.0025},
    )


def test_a_suggestion_that_nobody_makes_is_refused(answer: Answers) -> None:
    answer(ANSWER)
    with pytest.raises(Exception, match="vally.*valley"):
        StartFromRangeTest("vally").on_study_start(study(space(RATES)))
