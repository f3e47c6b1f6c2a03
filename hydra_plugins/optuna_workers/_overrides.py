"""Swept overrides, read with Hydra's own grammar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString, RangeSweep
from hydra.errors import HydraException

from hydra_plugins.optuna_workers._errors import SweepError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

PLAIN = (bool, int, float, str, type(None))
"""What Optuna can store as a choice."""


@dataclass(frozen=True)
class Parameter:
    """One swept key.

    Attributes:
        name: The key without ``+``: what Optuna and trackers call it.
        key: As Hydra replays it, such as ``+new.key``.
        kind: ``choice``, ``int`` or ``float``.
        choices: Values of a choice, as Optuna keeps them.
        texts: Hydra's own text of each listed value; empty for an interval.
        low: Least value of a number.
        high: Largest value of a number, included.
        step: Between two values of a range, or None.
        log: Whether it is sampled by its logarithm.
    """

    name: str
    key: str
    kind: str
    choices: tuple[Any, ...] = ()
    texts: tuple[str, ...] = ()
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False

    @property
    def values(self) -> tuple[Any, ...]:
        """Return every value of a list or range, in Hydra's order."""
        if self.kind == "choice":
            return self.choices
        number = int if self.kind == "int" else float
        return tuple(number(text) for text in self.texts)

    @property
    def distribution(self) -> BaseDistribution:
        """Return what Optuna samples from."""
        from optuna import distributions

        if self.kind == "choice":
            return distributions.CategoricalDistribution(self.choices)
        if self.kind == "int":
            step = int(self.step or 1)
            return distributions.IntDistribution(int(self.low), int(self.high), self.log, step)
        return distributions.FloatDistribution(self.low, self.high, self.log, self.step)

    def suggest(self, trial: Any) -> Any:
        """Ask a trial for a value."""
        if self.kind == "choice":
            return trial.suggest_categorical(self.name, self.choices)
        if self.kind == "int":
            step = int(self.step or 1)
            return trial.suggest_int(
                self.name, int(self.low), int(self.high), step=step, log=self.log
            )
        return trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)

    def override(self, value: Any) -> str:
        """Return the override that gives the key a value."""
        if self.kind == "choice":
            return f"{self.key}={self.texts[self.index(value)]}"
        return f"{self.key}={value}"

    def index(self, value: Any) -> int:
        """Return the place of a value among the choices; 1, 1.0 and true differ."""
        for k, choice in enumerate(self.choices):
            if type(choice) is type(value) and choice == value:
                return k
        if value in self.texts:
            return self.texts.index(value)
        raise ValueError(value)

    def canonical(self) -> dict[str, Any]:
        """Return what makes two parameters the same, as JSON values."""
        if self.kind == "choice":
            return {"kind": self.kind, "choices": list(self.texts)}
        known = {"kind": self.kind, "low": self.low, "high": self.high}
        return {**known, "step": self.step, "log": self.log}


def parse(
    arguments: Sequence[str], params: Mapping[str, Any], parser: OverridesParser
) -> list[str | Parameter]:
    """Return the fixed overrides as text and the swept ones as parameters, in order.

    Args:
        arguments: The command line's task overrides.
        params: ``hydra.sweeper.params``; the command line wins.
        parser: With a config loader, for ``glob``.

    Raises:
        SweepError: a sweep that has no values.
        HydraException: Hydra's grammar was broken, or its own keys are swept.
    """
    lines = [f"{key}={_as_text(value)}" for key, value in params.items()]
    read: dict[str, str | Parameter] = {}
    for override in parser.parse_overrides([*lines, *arguments]):
        line = override.input_line or ""
        if override.is_sweep_override():
            read[override.get_key_element()] = _swept(override, line)
        else:
            read[override.get_key_element()] = line
    return list(read.values())


def _as_text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"choice({','.join(Override._get_value_element_as_str(item) for item in value)})"
    return "null" if value is None else str(value)


def _swept(override: Override, line: str) -> Parameter:
    if override.is_hydra_override():
        raise HydraException(f"Sweeping over Hydra's configuration is not supported : '{line}'")
    key = override.get_key_element()
    name, value = key.lstrip("+"), override.value()
    if isinstance(value, IntervalSweep):
        return _interval(name, key, value, line)
    texts = tuple(str(text) for text in override.sweep_string_iterator())
    if not texts:
        raise SweepError(key, line.partition("=")[2], "there is nothing to choose from", "1,2,3")
    if isinstance(value, RangeSweep) and not value.shuffle and len(texts) > 1:
        return _range(name, key, value, texts)
    return Parameter(name, key, "choice", _choices(override, texts), texts)


def _interval(name: str, key: str, sweep: IntervalSweep, line: str) -> Parameter:
    low, high, log = sweep.start, sweep.end, "log" in sweep.tags
    shown = line.partition("=")[2]
    if low is None or high is None or low > high:
        raise SweepError(
            key, shown, "the interval starts after its end", f"interval({high},{low})"
        )
    if log and low <= 0:
        raise SweepError(key, shown, "a logarithmic interval starts above 0", "interval(1e-6,1)")
    whole = isinstance(low, int) and isinstance(high, int)
    # interval(1, 5) is a float in Hydra's grammar; int(interval(1, 5)) makes its ends whole
    kind = (
        "int" if whole and line.partition("=")[2].replace(" ", "").find("int(") >= 0 else "float"
    )
    if kind == "int":
        return Parameter(name, key, kind, low=int(low), high=int(high), log=log)
    return Parameter(name, key, kind, low=float(low), high=float(high), log=log)


def _range(name: str, key: str, sweep: RangeSweep, texts: tuple[str, ...]) -> Parameter:
    """Read a range: listed in Hydra's order, sampled as steps between its least and largest."""
    whole = all(text.lstrip("-").isdigit() for text in texts)
    numbers = [int(text) if whole else float(text) for text in texts]
    low, high, step = min(numbers), max(numbers), abs(sweep.step)
    log = "log" in sweep.tags
    if log or not whole:
        # Optuna's steps of floats are not Hydra's to the last bit: let it choose among the texts
        return Parameter(name, key, "choice", tuple(numbers), texts)
    return Parameter(name, key, "int", texts=texts, low=low, high=high, step=step)


def _choices(override: Override, texts: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the values, or their texts where Optuna could not tell them apart."""
    values = [_plain(item) for item in override.sweep_iterator()]
    plain = all(isinstance(value, PLAIN) for value in values)
    return tuple(values) if plain and len(set(values)) == len(values) else texts


def _plain(value: Any) -> Any:
    return value.text if isinstance(value, QuotedString) else value
