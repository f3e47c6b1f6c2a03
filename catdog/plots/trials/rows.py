"""The trials of a study as plain data, which its pictures and its page are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """A trial that has ended.

    Attributes:
        number: Optuna's number of the trial.
        name: Its name, such as ``t07 lr=0.003``.
        state: ``COMPLETE``, ``PRUNED`` or ``FAIL``.
        values: The objective for each direction; of a pruned trial the last value that it
            reported; empty without any.
        params: The swept values by key.
        curve: The first objective by epoch, as far as it was reported.
        best: Whether it is the best trial of the study, or one of several.
        copied: Whether it took the values of an earlier trial with the same params.
        seconds: How long it took; None if that is unknown.
        run_id: MLflow's id of its run; may be empty.
    """

    number: int
    name: str
    state: str
    values: Sequence[float] = ()
    params: Mapping[str, object] = field(default_factory=dict)
    curve: Mapping[int, float] = field(default_factory=dict)
    best: bool = False
    copied: bool = False
    seconds: float | None = None
    run_id: str = ""

    @property
    def outcome(self) -> str:
        """One of ``catdog.plots.scatter.OUTCOMES``.

        Example:
            >>> Row(3, "t03", "PRUNED").outcome, Row(4, "t04", "COMPLETE", best=True).outcome
            ('pruned', 'best')
        """
        ended = {"COMPLETE": "complete", "PRUNED": "pruned"}.get(self.state, "failed")
        return "best" if self.best else ended


@dataclass(frozen=True)
class Trials:
    """All trials of a study that have ended.

    Attributes:
        study: Name of the study.
        metrics: Name of each objective.
        directions: ``minimize`` or ``maximize``, one per objective.
        rows: The trials, by number.
    """

    study: str
    metrics: Sequence[str]
    directions: Sequence[str]
    rows: Sequence[Row]

    @property
    def maximize(self) -> bool:
        """Whether a larger first objective is better."""
        return self.directions[0] == "maximize"

    @property
    def params(self) -> list[str]:
        """The keys of the swept values, in order of appearance."""
        return list(dict.fromkeys(key for row in self.rows for key in row.params))
