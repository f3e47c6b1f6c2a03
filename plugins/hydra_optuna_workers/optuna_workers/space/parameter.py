"""One swept key: its values, what Optuna samples it from, how Hydra is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Parameter:
    """One swept key.

    Attributes:
        name: The key without ``+``: what Optuna and trackers call it.
        key: As Hydra replays it, such as ``+new.key``.
        kind: ``choice``, ``int`` or ``float``.
        values: Every value of a list or range as Optuna keeps it, in Hydra's order; empty for an
            interval.
        texts: Hydra's text of each value.
        meanings: What Hydra reads from each text; differs from ``values`` where Optuna could not
            keep the value or tell it from another, and keeps its text.
        low: Least value of a number.
        high: Largest value of a number, included.
        step: Between two values of a range, or None; below 0 where it descends.
        log: Whether it is sampled by its logarithm.
        repeated: Texts of values that were listed again.

    Example:
        >>> lr = Parameter("lr", "+lr", "choice", (0.1, None), ("0.1", "null"), (0.1, None))
        >>> lr.override(None), lr.find("0.1"), lr.listed
        ('+lr=null', 0.1, True)
    """

    name: str
    key: str
    kind: str
    values: tuple[Any, ...] = ()
    texts: tuple[str, ...] = ()
    meanings: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False
    repeated: tuple[str, ...] = field(default=(), compare=False)

    @property
    def listed(self) -> bool:
        """Return whether it has a list of values."""
        return bool(self.texts)

    def suggest(self, trial: Any) -> Any:
        """Ask a trial for a value."""
        step = abs(self.step) if self.step else None
        if self.kind == "choice":
            return trial.suggest_categorical(self.name, self.values)
        if self.kind == "int":
            low, high = int(self.low), int(self.high)
            return trial.suggest_int(self.name, low, high, step=int(step or 1), log=self.log)
        value = trial.suggest_float(self.name, self.low, self.high, step=step, log=self.log)
        # Optuna's third step of 0.1 is 0.30000000000000004: name every value in one way
        return self.values[self.place(value)] if self.listed else value

    def override(self, value: Any) -> str:
        """Return the override that gives the key a value.

        Raises:
            ValueError: the value is not among those listed.
        """
        return f"{self.key}={self.texts[self.place(value)] if self.listed else value}"

    def place(self, value: Any) -> int:
        """Return the place of a listed value; 1, 1.0 and true differ among choices.

        Raises:
            ValueError: it is not there.
        """
        if self.kind != "choice":
            step = self.step or 1
            k = round((value - self.values[0]) / step)
            if 0 <= k < len(self.values) and abs(value - self.values[k]) <= abs(step) / 1e6:
                return k
            raise ValueError(value)
        for k, known in enumerate(self.values):
            if same(known, value):
                return k
        raise ValueError(value)

    def find(self, written: Any) -> Any:
        """Return the value that a person means by what they wrote.

        Raises:
            ValueError: there is none.
        """
        if self.kind == "choice":
            return self.values[self._meant(written)]
        if isinstance(written, bool):
            raise ValueError(written)
        number = float(written)
        inside = self.low <= number <= self.high
        if not inside or self.kind == "int" and number != int(number):
            raise ValueError(written)
        if self.listed:
            return self.values[self.place(number)]
        return int(number) if self.kind == "int" else number

    def _meant(self, written: Any) -> int:
        """Return the place of a choice: the value itself, its text, or an equal number."""
        for known in (self.meanings, self.values, self.texts):
            for k, one in enumerate(known):
                if same(one, written):
                    return k
        for k, one in enumerate(self.meanings):
            if _number(one) and _number(written) and one == written or str(one) == str(written):
                return k
        raise ValueError(written)

    def canonical(self) -> dict[str, Any]:
        """Return what makes two parameters the same, as JSON values."""
        if self.kind == "choice":
            return {"kind": self.kind, "choices": list(self.texts)}
        known = {"kind": self.kind, "low": self.low, "high": self.high}
        return {**known, "step": self.step, "log": self.log}


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal and of one type, inside of lists and mappings too."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other) or repr(one) == repr(other)  # nan is nan


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
