"""The README's and the tutorial's day: each command in order, in a clean clone and an empty home.

``DAY_INSTALL=1`` lets make install everything from the index, too. One page and what it printed:
``python tests/helpers/day.py README.md --folder /tmp/day``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers.day import Day, Step, shape, steps
from helpers.pages import ROOT

PAGES = ("README.md", "docs/tutorial.md")
ORDER = [
    "make train", "make sweep", "catdog.train data=kaggle", "catdog.train -m", "catdog.sweep lr_",
    "catdog.ui", "catdog.suspects", "catdog.evaluate", "catdog.promote --run",
    "catdog.promote --study", "catdog.predict", "from catdog import",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_day_runs_as_written(page: str, tmp_path: Path, real_photos: Path) -> None:
    zipped = real_photos / "dogs-vs-cats-2k-native.zip"
    day = Day(tmp_path / "day", zipped, install=os.environ.get("DAY_INSTALL") == "1")
    wrong = []
    for step in steps(ROOT / page):
        done = day.run(step)
        if not done.fine(step):
            lines = "".join(f"\n    not printed: {line}" for line in done.missing)
            said = "\n".join(done.said.splitlines()[-30:])
            wrong.append(
                f"{step.place}: {step.command}\n    exit code {done.status}{lines}\n{said}"
            )
    assert not wrong, "\n\n".join(wrong)


def test_the_commands_of_a_page_are_found_in_their_order() -> None:
    found = [step.command for step in steps(ROOT / "README.md")]
    assert len(found) == len(ORDER)
    assert all(part in command for part, command in zip(ORDER, found, strict=True)), found


@pytest.mark.parametrize(
    ("page", "printed", "same"),
    [
        ("run bcfa3f0b", "run 0123abcd", True),
        ("run bcfa3f0b", "run with no id", False),
        ("│ test │ loss 0.0555  AUC 0.99 │", "│ test   │ loss 1.25  AUC 1   │", True),
        ("│ test │ loss 0.0555  AUC 0.99 │", "│ test   │ loss 1.25 │", False),
        ("x: 20 trials in 1 min 49 s  20 complete", "x: 20 trials in 9.1 s  20 complete", True),
        ("x: 20 trials in 49 s  20 complete", "x: 20 trials in 49 s  20 failed", False),
        ("Features ━━━━━ 637/637 00:07", "Features ━━━ 12/12 00:00", True),
        ("2 classes, 800 photos: 637 train", "2 classes, 10 photos: 6 train", True),
    ],
)  # fmt: skip
def test_only_what_varies_may_differ(page: str, printed: str, same: bool) -> None:
    assert (shape(page) == shape(printed)) is same


def test_commands_that_stand_together_share_what_they_show() -> None:
    made: list[Step] = steps(ROOT / "README.md")
    first = next(k for k, step in enumerate(made) if step.command == "make train")
    assert made[first].opens and not made[first].shown
    assert not made[first + 1].opens and made[first + 1].shown[-1]
