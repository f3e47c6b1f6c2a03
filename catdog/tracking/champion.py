"""Whether a model beats the champion, and how good settings are over several seeds."""

from __future__ import annotations

from dataclasses import dataclass

from catdog.evaluation.intervals import LEVEL, mcnemar
from catdog.tracking.past_run import Answers


@dataclass(frozen=True)
class Verdict:
    """Who won.

    Attributes:
        wins: Whether the candidate is better by more than chance.
        why: The counts, in one sentence.
    """

    wins: bool
    why: str


def judge(candidate: Answers, champion: Answers) -> Verdict:
    """Compare two models by McNemar's test on the photos that both were tested on.

    Neither was trained or chosen on these, whatever else their data sets hold.

    Args:
        candidate: The new model's answers.
        champion: The present one's.
    """
    photos = sorted(candidate.labels.keys() & champion.labels.keys())
    photos = [one for one in photos if candidate.labels[one] == champion.labels[one]]
    if not photos:
        return Verdict(False, "cannot tell: their test splits share no photo")
    found = mcnemar(candidate.right(photos), champion.right(photos))
    counts = (
        f"of {found.photos:,} test photos it alone has {found.only_first} right, the champion "
        f"alone {found.only_second}: p = {found.p_value:.2g} (McNemar)"
    )
    if found.differ and found.only_first > found.only_second:
        return Verdict(True, f"better, {counts}")
    if found.differ:
        return Verdict(False, f"worse, {counts}")
    return Verdict(False, f"cannot tell at the {100 * (1 - LEVEL):.0f} % level, {counts}")
