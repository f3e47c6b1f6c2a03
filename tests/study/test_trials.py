"""A study's trials as plain data: the best of them, counts, points, a table, tags."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from conftest import rows_of
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState

from catdog.plots.scatter import Point
from catdog.study import results
from catdog.study.trials import best as best_of
from catdog.study.trials import progress, write_csv
from catdog.tracking import names

START = datetime(2026, 11, 3, 12)
STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING")


def trial(number: int, *values: float, state: str = "COMPLETE", **more: Any) -> FrozenTrial:
    """Return a trial as Optuna has it."""
    known = {"params": {}, "user_attrs": {}, "intermediate_values": {}, "datetime_start": START}
    return FrozenTrial(
        number=number, trial_id=number, state=TrialState[state], value=None,
        values=list(values) or None, distributions={}, system_attrs={},
        **{**known, "datetime_complete": None, **more},
    )  # fmt: skip


def numbers(trials: list[Any]) -> list[int]:
    return [one.number for one in trials]


# === the best ===

MIN, MAX = ["minimize"], ["maximize"]


@pytest.mark.parametrize(
    ("trials", "directions", "best"),
    [
        ([], MIN, []),
        ([trial(0, 0.5), trial(1, 0.2), trial(2, 0.3)], MIN, [1]),
        ([trial(0, 0.5), trial(1, 0.2), trial(2, 0.3)], MAX, [0]),
        ([trial(3, 0.2), trial(1, 0.2), trial(2, 0.2)], MIN, [1]),
        ([trial(0, -1.0), trial(1, 0.0)], MAX, [1]),
        ([trial(0, 0.5), trial(1, 0.1, state="PRUNED")], MIN, [0]),
        ([trial(0, state="FAIL"), trial(1, state="RUNNING"), trial(2, state="WAITING")], MIN, []),
        ([trial(0, math.inf), trial(1, 9.0)], MIN, [1]),
        ([trial(0, 1.0, 1.0), trial(1, 2.0, 2.0), trial(2, 3.0, 0.5)], [*MIN, *MAX], [0, 1]),
        ([trial(2, 1.0, 9.0), trial(0, 1.0, 9.0), trial(1, 1.0, 8.0)], [*MIN, *MAX], [0, 2]),
    ],
    ids=[
        "none", "least", "most", "the first of equals", "zero counts", "pruned is not the best",
        "none complete", "infinite", "a front", "equals share a front",
    ],
)  # fmt: skip
def test_the_best_trials_of_a_study(trials: list, directions: list, best: list[int]) -> None:
    assert numbers(best_of(trials, directions)) == best


def beats(one: Any, other: Any, directions: list[str]) -> bool:
    """Return whether a trial is nowhere worse and somewhere better, one direction at a time."""
    better = worse = 0
    for a, b, direction in zip(one.values, other.values, directions, strict=True):
        better += a < b if direction == "minimize" else a > b
        worse += a > b if direction == "minimize" else a < b
    return better > 0 and worse == 0


@st.composite
def studies(draw: st.DrawFn) -> tuple[list[Any], list[str]]:
    """Draw trials in any order, few values so that there are ties, and their directions."""
    directions = draw(st.lists(st.sampled_from(["minimize", "maximize"]), min_size=1, max_size=3))
    value = st.integers(-2, 2).map(float) | st.just(math.inf)
    values = st.lists(value, min_size=len(directions), max_size=len(directions))
    rows = draw(st.lists(st.tuples(st.sampled_from(STATES), values), max_size=12))
    drawn = [
        trial(number, *(own if state in ("COMPLETE", "PRUNED") else ()), state=state)
        for number, (state, own) in enumerate(rows)
    ]
    return draw(st.permutations(drawn)), directions


@given(studies())
@settings(deadline=None)
def test_the_best_are_those_that_no_complete_trial_beats(drawn: tuple) -> None:
    trials, directions = drawn
    done = sorted((t for t in trials if t.state.name == "COMPLETE"), key=lambda t: t.number)
    front = [t for t in done if not any(beats(other, t, directions) for other in done)]
    expected = front[:1] if len(directions) == 1 else front
    assert best_of(trials, directions) == expected


def test_a_state_may_be_its_name_alone() -> None:
    frozen = [trial(0, 2.0), trial(1, 1.0), trial(2, state="FAIL")]
    named = [SimpleNamespace(number=t.number, state=t.state.name, values=t.values) for t in frozen]
    assert numbers(best_of(named, MIN)) == numbers(best_of(frozen, MIN)) == [1]
    assert progress(named, MIN) == progress(frozen, MIN)


# === counts ===

DONE = [trial(0, 0.5), trial(1, 0.2), trial(2, 0.1, state="PRUNED"), trial(3, state="FAIL")]


@pytest.mark.parametrize(
    ("trials", "directions", "expected"),
    [
        ([], MIN, (0, 0, 0, None)),
        (DONE, MIN, (2, 1, 1, 0.2)),
        (DONE, MAX, (2, 1, 1, 0.5)),
        (DONE[2:], MIN, (0, 1, 1, None)),
        ([trial(0, 0.0)], MIN, (1, 0, 0, 0.0)),
        ([trial(0, 1.0, 2.0), trial(1, 2.0, 3.0)], [*MIN, *MAX], (2, 0, 0, None)),
    ],
    ids=["none", "least", "most", "nothing complete", "zero", "two directions"],
)
def test_progress_counts_how_trials_ended(
    trials: list, directions: list, expected: tuple[int, int, int, float | None]
) -> None:
    complete, pruned, failed, best = expected
    counts = {"trials/complete": complete, "trials/pruned": pruned, "trials/failed": failed}
    shown = {} if best is None else {"best/value": best}
    assert progress(trials, directions) == counts | shown


# === points ===


@pytest.mark.parametrize("rate", [1e-3, "1e-3", 100, "0.5"])
def test_a_trial_lies_at_its_rate(rate: object) -> None:
    params = {results.RATE: rate, "head.dropout": 0.2}
    (point,) = results.points([trial(7, 0.3, params=params)], [7])
    assert point == Point(7, float(rate), 0.3, "COMPLETE", best=True, params=params)  # type: ignore


@pytest.mark.parametrize(
    "params",
    [{}, *({results.RATE: rate} for rate in (None, "", "auto", 0.0, -1e-3, math.nan, math.inf))],
    ids=str,
)
def test_a_trial_without_a_rate_is_not_shown(params: dict) -> None:
    assert results.points([trial(0, 0.3, params=params)], [0]) == []


@pytest.mark.parametrize(
    ("one", "value"),
    [
        (trial(0, 0.0), 0.0),
        (trial(0, 0.3, 0.9), 0.3),
        (trial(0, 0.4, state="PRUNED", intermediate_values={1: 9.0}), 0.4),
        (trial(0, state="PRUNED", intermediate_values={10: 0.7, 2: 0.9, 9: 0.8}), 0.7),
        (trial(0, state="PRUNED"), None),
        (trial(0, state="FAIL", intermediate_values={1: 0.6}), 0.6),
        (trial(0, state="FAIL"), None),
        (SimpleNamespace(number=0, state="FAIL", values=None, params={}), None),
    ],
    ids=[
        "zero", "of several the first", "pruned with a value", "pruned, its latest step",
        "pruned at once", "failed late", "failed at once", "knows no steps",
    ],
)  # fmt: skip
def test_a_trial_lies_at_its_value_or_what_it_reported_last(one: Any, value: float | None) -> None:
    one.params = {results.RATE: 0.1}
    assert [point.value for point in results.points([one], [])] == [value]


def test_only_trials_that_ended_are_shown_and_the_winners_are_marked() -> None:
    own = {results.RATE: 0.1}
    trials = [
        trial(k, *([1.0] if state == "COMPLETE" else []), state=state, params=own)
        for k, state in enumerate([*STATES, "COMPLETE"])
    ]
    shown = [(point.number, point.state, point.best) for point in results.points(trials, [5])]
    states = [(0, "COMPLETE"), (1, "PRUNED"), (2, "FAIL"), (5, "COMPLETE")]
    assert shown == [(number, state, number == 5) for number, state in states]


# === names, and who has the star ===


@pytest.mark.parametrize(
    ("number", "params", "name"),
    [
        (7, {"optimizer.lr": 0.003, "head.dropout": 0.2}, "t07 lr=0.003 dropout=0.2"),
        (123, {}, "t123"),
        (
            0,
            {"optimizer.lr": "1e-3", "finetune.lr": 1e-5},
            "t00 optimizer.lr=1e-3 finetune.lr=1e-05",
        ),
        (
            1,
            {"head.name": "mlp", "data.name": "x\x1b[31m\n"},
            "t01 head.name=mlp data.name=x\\x1b[31m\\n",
        ),
        (2, {"a": None, "b": True, "c": 64}, "t02 a=null b=true c=64"),
        (
            3,
            {f"p{k}": 0.123456 for k in range(20)},
            "t03 " + " ".join(f"p{k}=0.123" for k in range(20)),
        ),
    ],
)
def test_a_trial_is_named_by_its_values(number: int, params: dict, name: str) -> None:
    shown = names.trial_name(number, params)
    assert shown == name or (len(shown) == 90 and name.startswith(shown.removesuffix("…")))


def test_the_star_goes_to_the_best_and_leaves_the_one_before(tracker: Any) -> None:
    parent = tracker.create("study", {})
    runs = [tracker.create(f"t{k}", {names.PARENT: parent.run_id}) for k in range(3)]
    other = tracker.create("t0", {names.PARENT: "another", names.MARK: names.STAR})
    starred = lambda: [names.STAR == tracker.get(run.run_id).tags.get("best")  # noqa: E731
                       for run in (*runs, other)]  # fmt: skip
    for best in ([0], [0], [2], [1, 2], []):
        results.mark(tracker, parent.run_id, {runs[k].run_id for k in best})
        assert starred() == [k in best for k in range(3)] + [True]


@pytest.mark.parametrize(
    ("directions", "named"),
    [(MIN, ["val/loss"]), ([*MIN, *MAX], ["val/loss", "value 2"])],
)
def test_optuna_is_told_what_the_objectives_are(directions: list, named: list) -> None:
    study = optuna.create_study(directions=directions)
    config = SimpleNamespace(objective=SimpleNamespace(metric="val/loss"))
    info = SimpleNamespace(load=lambda: study, directions=directions, config=config)
    for _ in range(2):
        results.name_objectives(info)
        assert study.metric_names == named


# === the table ===


def test_the_table_has_a_row_for_every_trial_the_lost_ones_too(tmp_path: Path) -> None:
    later = START + timedelta(seconds=2.5)
    facts = {"slot": 0, "attempt": 1, "duplicate_of": 5, "directory": "/a/trials/0"}
    trials = [
        trial(
            0, 0.25, params={"optimizer": "adam", results.RATE: 1e-3}, datetime_complete=later,
            user_attrs={**facts, names.RUN_ID: "abc", names.HYDRA_DIR: "/b, the \"same\"\n"},
        ),
        trial(1, state="RUNNING", params={"optimizer": "sgd", "optimizer.momentum": 0.0},
              user_attrs={"directory": "/a/trials/1", "slot": 3}),
        trial(2, state="FAIL"),
    ]  # fmt: skip
    write_csv(tmp_path / "a.csv", trials, MIN)
    full, lost, bare = rows_of(tmp_path / "a.csv")
    assert ",".join(full) == (
        "number,state,value,optimizer,optimizer.lr,optimizer.momentum,"
        "seconds,run_id,hydra_dir,slot,attempt,duplicate_of"
    )
    assert tuple(full.values()) == (
        "0", "COMPLETE", "0.25", "adam", "0.001", "", "2.500", "abc", '/b, the "same"\n',
        "0", "1", "5",
    )  # fmt: skip
    assert tuple(lost.values()) == (
        "1", "RUNNING", "", "sgd", "", "0.0", "", "", "/a/trials/1", "3", "", "",
    )  # fmt: skip
    assert tuple(bare.values()) == ("2", "FAIL", *[""] * 10)


def test_several_directions_have_a_column_each(tmp_path: Path) -> None:
    trials = [trial(0, 0.5, 0.9), trial(1, state="PRUNED", params={"x": 1})]
    write_csv(tmp_path / "a.csv", trials, [*MIN, *MAX])
    rows = rows_of(tmp_path / "a.csv")
    shown = [(row["value_0"], row["value_1"], row["x"]) for row in rows]
    assert shown == [("0.5", "0.9", ""), ("", "", "1")]
    assert "value" not in rows[0]


# === tags ===


@pytest.mark.parametrize(
    ("shared", "parent"),
    [
        ({}, {}),
        ({names.SHARED_PARENT: "", "enqueue": "[]"}, {}),
        ({names.SHARED_PARENT: "abc", "enqueue": "[]"}, {names.PARENT: "abc"}),
    ],
)
def test_a_trial_is_born_with_the_tags_it_is_found_by(shared: dict, parent: dict) -> None:
    born = {"optuna.study": "heads-1", "optuna.trial": "0", "optuna.state": "RUNNING"}
    assert names.child_tags(shared, "heads-1", 0) == born | parent
    assert names.PARENT == "mlflow.parentRunId", "MLflow nests runs by this very tag"
