"""All trials of a study at once: curves, repeats, and a page that a real Chromium opens."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import rows_of
from helpers.browser import Browser, browser
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from catdog.plots.trials import curves, page, repeats
from catdog.plots.trials.rows import Row, Trials

__all__ = ["browser"]  # a fixture

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">\x1b[31m{{7*7}}@data@"


def row(number: int, value: float | None = None, **more: Any) -> Row:
    known = {"values": [] if value is None else [value], "state": "COMPLETE"}
    return Row(number, more.pop("name", f"t{number:02}"), **{**known, **more})


def trials(*rows: Row, direction: str = "minimize") -> Trials:
    return Trials("heads-1", ["val/loss"], [direction], rows)


def searched(count: int, name: str = "t") -> Trials:
    """Return a study as a search leaves it: complete, pruned and failed trials with curves."""
    rows = []
    for k in range(count):
        state = ("COMPLETE", "COMPLETE", "PRUNED", "FAIL")[k % 4] if k else "COMPLETE"
        last = {"COMPLETE": 20, "PRUNED": 3, "FAIL": 2}[state]
        curve = {epoch: 0.1 + (1 + k / count) / epoch for epoch in range(1, last + 1)}
        if state == "FAIL":
            curve[2] = math.nan
        value = None if state == "FAIL" else min(curve.values())
        params = {
            "optimizer.lr": 10 ** (-1 - 4 * k / count), "head": (name, None)[k % 2], "seed": k % 3,
        }  # fmt: skip
        rows.append(
            row(k, value, name=f"t{k:02} {name}", state=state, params=params, curve=curve,
                best=k == 0, seconds=1.5 * k, run_id=f"{k:032x}")
        )  # fmt: skip
    return Trials(name, ["val/loss"], ["minimize"], rows)


# === curves ===


@pytest.mark.parametrize(
    "study",
    [
        searched(8),
        searched(100),
        searched(9, HOSTILE),
        trials(row(0, 0.5, curve={1: 0.5}, best=True)),
        trials(row(0, 0.0, curve={1: 0.0, 2: 0.0}), row(1, -1.0, curve={1: -1.0})),
        trials(row(0, curve={1: math.nan, 2: math.inf}, state="FAIL")),
        trials(row(0, 0.9, curve={1: 0.1, 2: 0.9}, best=True), direction="maximize"),
    ],
    ids=["few", "many", "hostile", "one epoch", "zero", "nothing finite", "maximize"],
)
def test_the_curves_of_all_trials_are_one_picture(study: Trials, tmp_path: Path) -> None:
    assert curves.draw(tmp_path / "a.png", study)
    assert imread(tmp_path / "a.png").shape[:2] == (550, 990)


def test_without_a_curve_there_is_no_picture(tmp_path: Path) -> None:
    assert not curves.draw(tmp_path / "a.png", trials(row(0, 0.5)))
    assert list(tmp_path.glob("*.png")) == []


def test_a_training_that_diverged_leaves_the_others_in_view() -> None:
    usual = [row(k, 0.2, curve={1: 0.6, 2: 0.3, 3: 0.2}) for k in range(20)]
    for wild in (9e9, math.inf, math.nan):
        low, high, _ = curves.window(trials(*usual, row(20, curve={1: wild}, state="FAIL")))
        assert 0.1 < low < 0.2 and 0.6 < high < 0.8


# === repeats ===


def on(number: int, seed: int, value: float | None, lr: float = 0.01, **more: Any) -> Row:
    return row(number, value, params={"seed": seed, "optimizer.lr": lr}, **more)


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([on(0, 0, 0.2), on(1, 1, 0.4)], [("lr=0.01", [0, 1], 2)]),
        ([on(0, 0, 0.2), on(1, 1, 0.4, lr=0.02)], []),
        ([on(0, 0, 0.2), on(1, 0, 0.2)], []),
        ([on(0, 0, 0.2), on(1, 1, 0.2, copied=True)], []),
        ([on(0, 0, 0.2), on(1, 1, math.inf)], []),
        ([on(0, 0, 0.2), on(1, 1, 0.9, state="PRUNED")], []),
        (
            [on(0, 0, 0.2), on(1, 1, 0.4), on(2, 2, None, state="FAIL")],
            [("lr=0.01", [0, 1], 3)],
        ),
        (
            [on(0, 0, 0.5), on(1, 1, 0.7), on(2, 0, 0.1, lr=0.02), on(3, 1, 0.3, lr=0.02)],
            [("lr=0.02", [2, 3], 2), ("lr=0.01", [0, 1], 2)],
        ),
    ],
    ids=[
        "two seeds", "another setting", "the same seed again", "a copied value", "not finite",
        "pruned", "one failed", "the best first",
    ],
)  # fmt: skip
def test_repeats_are_complete_trials_that_only_seeds_tell_apart(rows: list, found: list) -> None:
    settings = repeats.repeated(trials(*rows))
    assert [(one.name, one.trials, one.tried) for one in settings] == found


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.floats(0, 1)), max_size=12))
def test_no_trial_counts_twice_and_none_is_invented(drawn: list) -> None:
    rows = [on(n, seed, value, lr=lr) for n, (lr, seed, value) in enumerate(drawn)]
    settings = repeats.repeated(trials(*rows))
    counted = [number for one in settings for number in one.trials]
    assert len(set(counted)) == len(counted)
    for one in settings:
        assert [drawn[number][2] for number in one.trials] == list(one.values)
        assert len({drawn[number][1] for number in one.trials}) == len(one.trials) >= 2


def test_repeats_are_a_table_and_a_picture(tmp_path: Path) -> None:
    rows = [on(2 * k + s, s, 0.1 * k + 0.02 * s, lr=k + 1.0) for k in range(40) for s in (0, 1)]
    study = trials(*rows)
    settings = repeats.repeated(study)
    repeats.write_csv(tmp_path / "a.csv", settings)
    repeats.draw(tmp_path / "a.png", study, settings)
    table = rows_of(tmp_path / "a.csv")
    assert len(table) == 40 and imread(tmp_path / "a.png").shape[0] < 1200, "the best 30"
    first = table[0]
    assert (first["optimizer.lr"], first["complete"], first["trials"]) == ("1.0", "2", "0 1")
    assert float(first["mean"]) == pytest.approx(0.01)
    assert float(first["sd"]) == pytest.approx(0.02 / math.sqrt(2))


# === the page ===


def content(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_the_page_holds_all_trials_and_needs_nothing_else(tmp_path: Path) -> None:
    study = searched(1000)
    page.write(
        tmp_path / "a.html", study, runs="http://127.0.0.1:5000/#/experiments/1/runs/RUN_ID?x=1"
    )
    told = content(tmp_path / "a.html")
    assert [one["number"] for one in told["rows"]] == list(range(1000))
    assert told["rows"][3]["values"] == [] and told["rows"][3]["curve"][1] is None
    assert told["rows"][1]["params"] == [pytest.approx(10**-1.004, rel=1e-5), "null", 1]
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert len(text) < 1_000_000
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", text)


def test_names_end_neither_the_data_nor_the_heading(tmp_path: Path) -> None:
    page.write(tmp_path / "a.html", searched(6, HOSTILE), facts=[HOSTILE], runs="javascript:1")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert text.count("</script>") == 2 and "<img" not in text and "\x1b" not in text
    told = content(tmp_path / "a.html")
    assert "<img src=x" in told["facts"][0] and told["runs"] == ""


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Callable[[Trials], Browser]:
    def load(study: Trials) -> Browser:
        settings = repeats.repeated(study)
        runs = "http://127.0.0.1:5000/#/experiments/1/runs/RUN_ID?x=1"
        page.write(tmp_path / "a.html", study, settings, facts=[study.study], runs=runs)
        browser.open((tmp_path / "a.html").as_uri())
        script = "return document.documentElement.dataset.ready"
        browser.wait(lambda: browser.driver.execute_script(script))
        return browser

    return load


def shown(browser: Browser) -> list[str]:
    lines = browser.driver.execute_script(
        "return [...document.querySelectorAll('#trials tbody tr:not(.out)')]"
        ".map(line => line.cells[0].textContent)"
    )
    return list(lines)


@pytest.mark.slow
def test_a_thousand_trials_are_sorted_found_and_seen(opened: Callable) -> None:
    found = opened(searched(1000))
    assert shown(found)[0] == "★ t00" and len(shown(found)) == 1000
    assert len(found.all("#curves .t")) > 700 and len(found.all("#parallel .t")) > 700
    assert len(found.all("#scatter .t")) == 1000
    link = found.all("#trials tbody a")[0]
    assert link.get_attribute("href").endswith(f"/#/experiments/1/runs/{0:032x}?x=1")

    found.all("#trials th button")[0].click()
    assert shown(found)[:2] == ["★ t00", "t01"]
    found.all("#trials th button")[0].click()
    assert shown(found)[0] == "t999"

    find = found.all("#find")[0]
    for text, numbers in {
        "lr<0.00002": range(925, 1000), "t07": [7], "head=null pruned": [],
        "failed lr>0.09": [3, 7, 11],
    }.items():  # fmt: skip
        find.clear()
        find.send_keys(text)
        now = sorted(int(name.lstrip("★ t")) for name in shown(found))
        assert now == list(numbers), text
    visible = "return document.querySelectorAll('#scatter .t:not(.out)').length"
    assert found.driver.execute_script(visible) == 3

    find.clear()
    find.send_keys("t05")
    line = found.all("#trials tbody tr:not(.out)")[0]
    found.driver.execute_script(
        "arguments[0].dispatchEvent(new MouseEvent('mouseover', {bubbles: true}))", line
    )
    assert found.all("#told")[0].text.startswith("t05 t: ")
    assert len(found.all("path.hot")) == 2 and len(found.all("circle.hot")) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "study",
    [searched(9, HOSTILE), trials(row(0, state="FAIL")), trials(), trials(row(0, 0.5, best=True))],
    ids=["hostile", "failed", "nothing", "nothing swept"],
)
def test_a_page_of_odd_trials_opens_and_runs_nothing_of_theirs(
    study: Trials, opened: Callable
) -> None:
    found = opened(study)
    assert found.driver.title.startswith(study.study[:9])
    assert not found.all("img") and len(shown(found)) == len(study.rows)
    severe = [said for said in found.driver.get_log("browser") if said["level"] == "SEVERE"]
    assert not severe
