"""Whether a study's stored space is the one asked for now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PLACE = "place"
"""A listed key's place on the command line: the numbers of the combinations follow from it."""


def difference(stored: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return what changed between two ``Space.canonical()``, readably; empty if nothing did."""
    changes = []
    for name in dict.fromkeys([*stored, *now]):
        if name not in now:
            changes.append(f"{name}: no longer swept")
        elif name not in stored:
            changes.append(f"{name}: new")
        elif _placeless(stored[name]) != _placeless(now[name]):
            changes.append(f"{name}: {shown(stored[name])} -> {shown(now[name])}")
    if not changes and dict(stored) != dict(now):
        changes.append(f"order: {_order(stored)} -> {_order(now)}")
    return "; ".join(changes)


def _placeless(known: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in known.items() if key != PLACE}


def _order(space: Mapping[str, Any]) -> str:
    return ", ".join(sorted(space, key=lambda name: space[name].get(PLACE, -1))) or "none"


def shown(known: Mapping[str, Any]) -> str:
    """Return one parameter of ``Space.canonical()`` in Hydra's grammar."""
    if known["kind"] == "choice":
        text = f"choice({','.join(known['choices'])})"
    elif known["step"]:
        low, high, step = known["low"], known["high"], known["step"]
        first, last = (low, high) if step > 0 else (high, low)
        text = f"range({first},{last} included,{step})"
    else:
        text = f"interval({known['low']},{known['high']})"
        text = f"int({text})" if known["kind"] == "int" else text
    text = f"tag(log,{text})" if known.get("log") else text
    needed = (f"{key}={'|'.join(texts)}" for key, texts in known.get("when", {}).items())
    return f"{text} when {' and '.join(needed)}" if known.get("when") else text
