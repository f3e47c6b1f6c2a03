"""A study's description in MLflow, in Markdown: question, data, result, space, commands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from catdog.core import paths
from catdog.study import catalog, trials

if TYPE_CHECKING:
    from optuna_workers import StudyInfo

    from catdog.study.winner import Winner


def write(info: StudyInfo, command: str, winners: Sequence[Winner] = (), metric: str = "") -> str:
    """Return the description.

    Args:
        info: The study.
        command: The command that starts or continues it.
        winners: Its best trials; empty before one is complete.
        metric: Name of the first objective.
    """
    # above the table, since MLflow shows only the first lines of a description
    lines = [f"{line}\n" for line in _head(info, winners, metric)]
    lines += ["| swept | over |", "|---|---|"]
    lines += [f"| {_code(name)} | {_code(text)} |" for name, text in info.space.items()]
    lines += ["", "Run it again, or go on with it:\n", f"    {command}\n"]
    if len(winners) == 1:
        repeat = f"    python -m catdog.train +best={info.name}\n"
        lines += ["Repeat the winner:\n", repeat]
    return "\n".join(lines)


def facts(info: StudyInfo, winners: Sequence[Winner], metric: str) -> list[str]:
    """Return question, data and result without Markdown; the arguments are those of ``write``."""
    return [re.sub(r"\*\*|`", "", line) for line in _head(info, winners, metric)]


def _head(info: StudyInfo, winners: Sequence[Winner], metric: str) -> list[str]:
    lines = [f"**Question**: {_question(info)}"] if _question(info) else []
    fixed = f", with {_code(' '.join(info.overrides))}" if info.overrides else ""
    lines += [f"**Data**: {info.config.data.name}{fixed}"]
    return [*lines, f"**Result**: {_result(info, winners, metric)}"]


def _question(info: StudyInfo) -> str:
    """Return the question of the search, or nothing for a study without a file in sweeps/."""
    name = str(info.config.hydra.job.config_name)
    questions = {search.name: search.question for search in catalog.searches(paths.sweeps())}
    return questions.get(name, "")


def _result(info: StudyInfo, winners: Sequence[Winner], metric: str) -> str:
    counts = Counter(map(trials.state_of, info.trials()))
    names = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    shown = ", ".join(f"{counts[state]} {name}" for state, name in names.items() if counts[state])
    shown = f"{sum(counts.values())} of {info.n_trials} trials ended ({shown or 'none'})"
    if len(winners) != 1:
        return f"{shown}; {len(winners)} on the Pareto front" if winners else shown
    best = winners[0]
    params = " ".join(f"{name}={_short(value)}" for name, value in best.params.items())
    return f"best {metric} **{best.values[0]:.5g}**, trial {best.trial}: {_code(params)}; {shown}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _code(text: str) -> str:
    return f"`{text.replace('|', '/').replace('`', '')}`"
