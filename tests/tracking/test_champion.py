"""A candidate wins only by more than chance, on photos that both were tested on."""

from __future__ import annotations

import pytest

from catdog.study.retrain import Retrained, choose
from catdog.tracking import past_run
from catdog.tracking.champion import judge


def predictions(right: str, first: int = 0, label: str = "cat") -> past_run.TestPredictions:
    """Predictions for photos numbered from ``first`` on: ``1`` is right, ``0`` wrong."""
    photos = [str(first + k) for k in range(len(right))]
    predicted = {p: label if r == "1" else "other" for p, r in zip(photos, right, strict=True)}
    return past_run.TestPredictions(dict.fromkeys(photos, label), predicted)


@pytest.mark.parametrize(
    ("candidate", "champion", "wins", "why"),
    [
        (
            predictions("1" * 20),
            predictions("1" * 14 + "0" * 6),
            True,
            "better, of 20 test photos",
        ),
        (
            predictions("1" * 20),
            predictions("1" * 15 + "0" * 5),
            False,
            "cannot tell at the 5 % level",
        ),
        (predictions("1" * 14 + "0" * 6), predictions("1" * 20), False, "worse, of 20"),
        (predictions("1" * 20), predictions("1" * 20), False, "alone has 0 right"),
        # only what both were tested on counts
        (
            predictions("1" * 20),
            predictions("0" * 20, first=10),
            True,
            "of 10 test photos it alone",
        ),
        (predictions("1" * 20), predictions("0" * 20, first=16), False, "of 4 test photos"),
        (predictions("1" * 20), predictions("0" * 20, first=20), False, "share no photo"),
        # another label of the same photo is another question
        (predictions("1" * 20), predictions("0" * 20, label="dog"), False, "share no photo"),
    ],
)
def test_judge(
    candidate: past_run.TestPredictions, champion: past_run.TestPredictions, wins: bool, why: str
) -> None:
    verdict = judge(candidate, champion)
    assert verdict.wins is wins
    assert why in verdict.why


@pytest.mark.parametrize(
    ("sign", "trial", "run"),
    [(1, "steady", "s1"), (-1, "late", "d2")],
)
def test_settings_win_by_their_mean_a_run_by_its_value(sign: int, trial: str, run: str) -> None:
    again = [
        Retrained("lucky", 0.01, [0.02, 0.30, 0.28], ["l0", "l1", "l2"]),
        Retrained("steady", 0.12, [0.11, 0.10, 0.12], ["s0", "s1", "s2"]),
        Retrained("late", 0.30, [0.40, 0.41, 0.42], ["d0", "d1", "d2"]),
    ]
    found, best = choose(again, sign)
    assert (found.trial, best) == (trial, run)
    assert found.spread == pytest.approx(0.01)
    assert Retrained("one", 0.1, [0.2], ["r"]).spread == 0.0
