"""The command line and ``hydra.sweeper.params``, read with Hydra's own grammar."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException
from omegaconf import OmegaConf

from optuna_workers.errors import SweepError
from optuna_workers.space.grammar import meaning, text_of
from optuna_workers.space.parameter import Parameter, same

PLAIN = (bool, int, float, str, type(None))
"""What Optuna can keep as a choice."""

LONGEST = 100_000
"""Most values of a range."""


def parse(
    arguments: Sequence[str], params: Mapping[str, Any], parser: OverridesParser
) -> list[str | Parameter]:
    """Return the fixed overrides as text and the swept ones as parameters, in order.

    Args:
        arguments: The command line's task overrides.
        params: ``hydra.sweeper.params``; the command line wins over a key of the same name.
        parser: With a config loader, for ``glob``.

    Raises:
        SweepError: a sweep that has no values.
        HydraException: Hydra's grammar was broken, or its own keys are swept.
    """
    given = [(name, item, True) for name, item in _configured(params, parser)]
    for override in parser.parse_overrides(list(arguments)):
        name = override.get_key_element().lstrip("+~")
        given.append((name, _read(override, parser), False))
    return _last_word(given)


def _last_word(given: list[tuple[str, str | Parameter, bool]]) -> list[str | Parameter]:
    """Keep the last item of each name, at the place of the first.

    Two fixed ones of the command line both stay: ``++a={x:1} ++a={y:2}`` is one mapping.
    """
    kept: list[tuple[str, str | Parameter, bool]] = []
    for name, item, weak in given:
        rivals = [
            k
            for k, (known, other, weaker) in enumerate(kept)
            if known == name
            and (weak or weaker or not (isinstance(item, str) and isinstance(other, str)))
        ]
        if not rivals:
            kept.append((name, item, weak))
            continue
        kept[rivals[0]] = (name, item, weak)
        kept = [entry for k, entry in enumerate(kept) if k not in rivals[1:]]
    return [item for _, item, _ in kept]


def _configured(
    params: Mapping[str, Any], parser: OverridesParser
) -> Iterator[tuple[str, str | Parameter]]:
    """Read ``params``: texts are overrides, lists are choices."""
    for key, value in flat(params):
        if isinstance(value, (list, tuple)):
            override = parser.parse_overrides([f"{key}=_"])[0]
            item: str | Parameter = _choice(override, list(value), str(list(value)), parser)
        else:
            text = "null" if value is None else str(value)
            override = parser.parse_overrides([key if key[0] == "~" else f"{key}={text}"])[0]
            item = _read(override, parser)
        yield override.get_key_element().lstrip("+~"), item


def flat(params: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys: ``hydra.sweeper.params.a.b=...`` on a command line makes mappings."""
    if OmegaConf.is_config(params):
        params = OmegaConf.to_container(params, resolve=True)  # type: ignore[assignment]
    for key, value in params.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _read(override: Override, parser: OverridesParser) -> str | Parameter:
    line = override.input_line or ""
    if not override.is_sweep_override():
        return line
    shown, value = line.partition("=")[2], override.value()
    if isinstance(value, IntervalSweep):
        return _interval(*_names(override, shown), value, shown)
    if isinstance(value, RangeSweep):
        items = _steps(override, value, shown)
    else:
        items = list(value.list if isinstance(value, ChoiceSweep) else override.sweep_iterator())
    if getattr(value, "shuffle", False):
        # by the text, not by chance: every machine and every resumption has one order
        random.Random(line).shuffle(items)
    elif isinstance(value, RangeSweep) and len(items) > 1:
        return _range(*_names(override, shown), value, items)
    return _choice(override, items, shown, parser)


def _names(override: Override, shown: str) -> tuple[str, str]:
    """Return the name and the key of an override that may be swept."""
    key = override.get_key_element()
    if override.is_hydra_override():
        asked = f"{key}={shown}"
        raise HydraException(f"Sweeping over Hydra's configuration is not supported : '{asked}'")
    if override.is_delete():
        raise SweepError(key, shown, "a deletion cannot be swept", key)
    return key.lstrip("+"), key


def _interval(name: str, key: str, sweep: IntervalSweep, shown: str) -> Parameter:
    low, high, log = sweep.start, sweep.end, "log" in sweep.tags
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        raise SweepError(key, shown, "an interval needs two finite ends", "interval(0,1)")
    if low > high:
        swapped = f"interval({high},{low})"
        raise SweepError(key, shown, "the interval starts after its end", swapped)
    if log and low <= 0:
        raise SweepError(key, shown, "a logarithmic interval starts above 0", "interval(1e-6,1)")
    # the ends of interval(1,5) are floats in Hydra's grammar; those of int(interval(1,5)) are not
    kind = "int" if isinstance(low, int) and isinstance(high, int) else "float"
    return Parameter(name, key, kind, low=low, high=high, log=log)


def _steps(override: Override, sweep: RangeSweep, shown: str) -> list[Any]:
    """Return the values of a range, which may be none, endless or too many."""
    start, stop, step = sweep.start or 0, sweep.stop or 0, sweep.step
    key = override.get_key_element()
    if not (step and math.isfinite(start) and math.isfinite(stop) and math.isfinite(step)):
        raise SweepError(key, shown, "a range needs finite ends and steps", "range(1,10,1)")
    if (stop - start) / step > LONGEST:
        raise SweepError(
            key, shown, f"a range of more than {LONGEST} values", f"int(interval({start},{stop}))"
        )
    return list(sweep.range())


def _range(name: str, key: str, sweep: RangeSweep, items: list[Any]) -> Parameter:
    """Read a range: listed in Hydra's order, sampled as steps from its least to its largest."""
    texts = tuple(str(item) for item in items)
    whole, step, log = isinstance(items[0], int), sweep.step, "log" in sweep.tags
    # 0.1 + 2 * 0.1 is 0.3 to a person and to Optuna; Hydra's own text stays what is replayed
    first, by = Decimal(str(items[0])), Decimal(str(step))
    values = tuple((int if whole else float)(first + k * by) for k in range(len(items)))
    low, high = min(values), max(values)
    even = all(abs((v - low) / step - round((v - low) / step)) < 1e-9 for v in values)
    if not even or log and not (whole and abs(step) == 1 and low >= 1):
        # Optuna has no such steps: it may choose among the values
        return Parameter(name, key, "choice", tuple(items), texts, tuple(items))
    kind = "int" if whole else "float"
    return Parameter(name, key, kind, values, texts, values, low, high, step, log)


def _choice(
    override: Override, items: list[Any], shown: str, parser: OverridesParser
) -> Parameter:
    """Read a list: Optuna keeps the values, or the texts where it could not tell them apart."""
    name, key = _names(override, shown)
    kept: list[tuple[Any, str]] = []
    repeated: dict[str, None] = {}
    for item in items:
        known = meaning(item)
        if any(same(known, other) for other, _ in kept):
            repeated[text_of(key, item, parser)] = None
        else:
            kept.append((known, text_of(key, item, parser)))
    if not kept:
        raise SweepError(key, shown, "there is nothing to choose from", f"{key}=1,2,3")
    meanings, texts = tuple(known for known, _ in kept), tuple(text for _, text in kept)
    plain = all(isinstance(one, PLAIN) and one == one for one in meanings)
    values = meanings if plain and len(set(meanings)) == len(meanings) else texts
    return Parameter(name, key, "choice", values, texts, meanings, repeated=tuple(repeated))
