"""Decides whether a model beats the champion, the registered model in use."""

from __future__ import annotations

from dataclasses import dataclass

from catdog.evaluation.intervals import LEVEL, mcnemar
from catdog.tracking.past_run import TestPredictions


@dataclass(frozen=True)
class Verdict:
    """The result of a comparison.

    Attributes:
        wins: Whether the candidate is better by more than chance.
        why: The counts and the p-value, in one sentence.
    """

    wins: bool
    why: str


def judge(candidate: TestPredictions, champion: TestPredictions) -> Verdict:
    """Compare two models by McNemar's test on the photos that both were tested on.

    Neither model was trained or chosen on these, even if their data sets differ.

    Args:
        candidate: Test predictions of the new model.
        champion: Test predictions of the champion.

    Returns:
        The verdict. The candidate does not win if no photo is in both test splits with the same
        label.

    Example:
        >>> labels = {f"photo {i}": "cat" for i in range(20)}
        >>> all_right = TestPredictions(labels, labels)
        >>> some_wrong = TestPredictions(labels, labels | dict.fromkeys(list(labels)[:8], "dog"))
        >>> judge(all_right, some_wrong).wins, judge(some_wrong, all_right).wins
        (True, False)
    """
    photos = sorted(candidate.labels.keys() & champion.labels.keys())
    photos = [one for one in photos if candidate.labels[one] == champion.labels[one]]
    if not photos:
        return Verdict(False, "cannot tell: their test splits share no photo")
    found = mcnemar(candidate.correct(photos), champion.correct(photos))
    counts = (
        f"of {found.photos:,} test photos it alone has {found.only_first} right, the champion "
        f"alone {found.only_second}: p = {found.p_value:.2g} (McNemar)"
    )
    if found.differ and found.only_first > found.only_second:
        return Verdict(True, f"better, {counts}")
    if found.differ:
        return Verdict(False, f"worse, {counts}")
    return Verdict(False, f"cannot tell at the {100 * (1 - LEVEL):.0f} % level, {counts}")
