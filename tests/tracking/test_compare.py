"""What of a repeat must be the same, what differs, and what is recorded that may be why."""

from __future__ import annotations

import math
from typing import Any

import pytest
from conftest import Lab, Run

from catdog.tracking import Tracker, compare
from catdog.tracking.compare import Difference, Facts, Reason

NAN = math.nan
LOSS = {("val/loss", step): 1 / step for step in (1, 2, 3)}
ENVIRONMENT = ("# Python 3.12.1, Linux, 2 cores, A", "absl==1", "keras==3.12", "numpy==2.1")


def facts(figures: dict[tuple[str, int], float] | None = None, **changed: Any) -> Facts:
    known: dict[str, Any] = {
        "params": {"optimizer.lr": "0.001", "data.digest": "aa", "tracking.uri": "x"},
        "tags": {"catdog.commit": "1234567890", "catdog.dirty": "false", "catdog.threads": "2"},
        "environment": ENVIRONMENT,
        **changed,
    }
    return Facts(LOSS if figures is None else figures, **known)


# === figures ===


def test_the_same_figures_have_no_differences() -> None:
    same = {**LOSS, ("test/auc", 0): NAN}
    assert compare.differences(facts(same), facts(dict(same))) == []
    assert len(compare.keys_to_compare(facts(same), facts(same))) == 4


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (
            {**LOSS, ("val/loss", 2): math.nextafter(0.5, 1)},
            ("val/loss", 3, 1, 2, 0.5, math.nextafter(0.5, 1), math.nextafter(0.5, 1) - 0.5),
        ),
        (
            {("val/loss", 1): 1.5, ("val/loss", 2): 2.5, ("val/loss", 3): 1 / 3},
            ("val/loss", 3, 2, 1, 1.0, 1.5, 2.0),
        ),
        ({("val/loss", 1): 1.0, ("val/loss", 2): 0.5}, ("val/loss", 3, 1, 3, 1 / 3, NAN, NAN)),
        ({**LOSS, ("val/loss", 4): 0.1}, ("val/loss", 4, 1, 4, NAN, 0.1, NAN)),
        ({**LOSS, ("test/auc", 0): 0.9}, ("test/auc", 1, 1, 0, NAN, 0.9, NAN)),
    ],
    ids=["a bit", "two epochs", "an epoch less", "an epoch more", "a metric more"],
)
def test_what_differs_is_told_by_metric(now: dict, expected: tuple) -> None:
    (found,) = compare.differences(facts(), facts(now))
    assert repr(found) == repr(Difference(*expected))  # NaN is no NaN


def test_differences_come_in_the_order_of_a_run() -> None:
    names = "test/loss best/epoch val/loss train/loss lr lr_range/loss".split()
    ones, twos = ({(name, 0): value for name in names} for value in (1.0, 2.0))
    found = compare.differences(facts(ones), facts(twos))
    assert [one.metric for one in found] == names[::-1]


def test_of_a_training_given_up_only_its_epochs_are_compared() -> None:
    then = facts({("val/loss", 1): 1.0, ("best/epoch", 0): 1.0}, whole=False)
    now = facts({**LOSS, ("best/epoch", 0): 3.0, ("test/loss", 0): 0.3})
    assert compare.keys_to_compare(then, now) == [("val/loss", 1)]
    assert compare.differences(then, now) == []
    (found,) = compare.differences(then, facts({("val/loss", 1): 1.1}))
    assert (found.metric, found.points) == ("val/loss", 1)


@pytest.mark.tensorflow
def test_a_pruned_run_is_compared_with_a_whole_one(first: Run, lab: Lab) -> None:
    from catdog import experiment, tracking
    from catdog.progress import Watcher

    class Pruning(Watcher):
        def on_epoch(self, epoch: int, metrics: object) -> bool:
            return epoch == 2

        def end_tags(self, state: str) -> dict[str, str]:
            return {"optuna.state": state}

    tracker = tracking.Tracker(uri=lab.uri, experiment="pruned", root=lab.folder)
    with pytest.raises(experiment.Pruned):
        experiment.run(*lab.parts(), tracker, watcher=Pruning())
    (pruned,) = tracker.find({"optuna.state": "PRUNED"})
    then, now = (compare.read(tracker, run_id) for run_id in (pruned.run_id, first.id))
    assert (then.whole, now.whole) == (False, True)
    compared = compare.keys_to_compare(then, now)
    assert {step for name, step in compared if name == "val/loss"} == {1, 2}
    assert not [name for name, _ in compared if name.startswith(("best/", "test/", "time/"))]
    assert compare.differences(then, now) == []


# === reasons ===


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        (
            {"tags": {"catdog.commit": "abcdefabcdef", "catdog.threads": "2"}},
            [("code", "12345678", "abcdefab")],
        ),
        (
            {"tags": {"catdog.commit": "1234567890", "catdog.dirty": "true"}, "patch": "+1\n-2\n"},
            [
                ("code", "12345678", "12345678 and uncommitted changes (2 lines, 4e7766)"),
                ("threads", "2", "-"),
            ],
        ),
        (
            {"environment": ("# Python 3.12.1, Linux, 2 cores, B", "numpy==2.2", "keras==3.12")},
            [
                ("numpy", "2.1", "2.2"),
                ("machine", ENVIRONMENT[0][2:], "Python 3.12.1, Linux, 2 cores, B"),
                ("absl", "1", "-"),
            ],
        ),
        (
            {"params": {"optimizer.lr": "0.002", "data.digest": "bb", "tracking.uri": "y"}},
            [("data.digest", "aa", "bb"), ("optimizer.lr", "0.001", "0.002")],
        ),
    ],
    ids=["none", "commit", "changes", "environment", "params"],
)
def test_what_is_recorded_and_another_is_listed(changed: dict, expected: list) -> None:
    found = compare.reasons(facts(), facts(**changed))
    assert found == [Reason(*row) for row in expected]


def test_the_same_uncommitted_changes_are_the_same_code() -> None:
    dirty = {"catdog.commit": "1234567890", "catdog.dirty": "true", "catdog.threads": "2"}
    then, same, other = (facts(tags=dirty, patch=patch) for patch in ("+1\n", "+1\n", "+2\n"))
    assert compare.reasons(then, same) == []
    assert [reason.what for reason in compare.reasons(then, other)] == ["code"]


def test_a_run_without_files_can_be_read(tracker: Tracker) -> None:
    run = tracker.create("bare", {})
    run.metrics({"val/loss": 0.5, "time/fit_seconds": 3, "system/cpu": 9}, 1)
    run.flush()
    run.end("FAILED")
    found = compare.read(tracker, run.run_id)
    assert (dict(found.figures), found.whole) == ({("val/loss", 1): 0.5}, False)
    assert (found.environment, found.patch) == ((), "")
