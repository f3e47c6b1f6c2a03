"""What is said of a study: its description in MLflow, and the last lines in the terminal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from catdog.cli import typed
from catdog.cli.overrides import key_of
from catdog.core import commands, paths
from catdog.study import catalog, trials

if TYPE_CHECKING:
    from optuna_workers import StudyInfo

    from catdog.study.winner import Winner

STORE_KEYS = ("tracking.uri", "tracking.experiment")


def write(info: StudyInfo, command: str, winners: Sequence[Winner] = (), metric: str = "") -> str:
    """Return the description in MLflow, in Markdown: question, data, result, space, commands.

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
        lines += ["Repeat the winner:\n", f"    {repeat_command(info)}\n"]
    return "\n".join(lines)


def repeat_command(info: StudyInfo) -> str:
    """Return the command that repeats the winner; it names the store if that is not the usual."""
    where = [word for word in info.overrides if key_of(word) in STORE_KEYS]
    words = [commands.override("+best", info.name), *map(typed.absolute, where)]
    return commands.command("python", "-m", "catdog.train", *words)


def closing(info: StudyInfo, best: Sequence[int], browse: str) -> Iterator[str]:
    """Yield what the terminal shows below the sweeper's own lines, which name the best trial.

    Args:
        info: The study.
        best: Numbers of its best trials.
        browse: What to do to see the study in MLflow's pages.
    """
    if len(best) > 1 and len(info.directions) == 1:
        yield (
            "its trials saw several data sets or objectives, so their values cannot be compared; "
            f"the best of each: trial {', '.join(map(str, best))}"
        )
    if len(best) == 1:
        evaluate = commands.command("python", "-m", "catdog.evaluate", "--model", info.name)
        yield f"next: {evaluate}"
        promote = commands.command("python", "-m", "catdog.promote", "--study", info.name)
        yield f"      {promote}"
    yield from browse.splitlines()


def facts(info: StudyInfo, winners: Sequence[Winner], metric: str) -> list[str]:
    """Return question, data and result without Markdown; the arguments are those of ``write``."""
    return [re.sub(r"\*\*|`", "", line) for line in _head(info, winners, metric)]


def _head(info: StudyInfo, winners: Sequence[Winner], metric: str) -> list[str]:
    lines = [f"**Question**: {_question(info)}"] if _question(info) else []
    words = paths.without_password(" ".join(info.overrides))
    lines += [f"**Data**: {info.config.data.name}{f', with {_code(words)}' if words else ''}"]
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
        of = (
            "the Pareto front"
            if len(info.directions) > 1
            else "a data set each: no value compares"
        )
        return f"{shown}; {len(winners)} best, on {of}" if winners else shown
    best = winners[0]
    params = " ".join(f"{name}={_short(value)}" for name, value in best.params.items())
    return f"best {metric} **{best.values[0]:.5g}**, trial {best.trial}: {_code(params)}; {shown}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _code(text: str) -> str:
    return f"`{text.replace('|', '/').replace('`', '')}`"
