"""From the nested dictionaries that Hydra composes to typed settings, and from a typo to the key.

Kept apart from settings.py so that the list of choices there reads as a list.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from catdog.errors import ConfigError
from catdog.settings.groups import OPTIMIZER_KEYS, Settings
from catdog.settings.validation import Section

S = TypeVar("S", bound=Section)


def parse(values: Mapping[str, Any]) -> Settings:
    """Build the settings from nested plain dictionaries.

    Args:
        values: Group name to a mapping of its keys; ``seed`` and ``threads`` are plain numbers.

    Raises:
        ConfigError: a key is unknown, or a value has the wrong type or lies outside its range.
    """
    groups = _groups()
    for name in values:
        if name not in groups and name not in ("threads", "seed"):
            raise unknown_key(name)
    built: dict[str, Any] = {k: values[k] for k in ("threads", "seed") if k in values}
    for name, section in groups.items():
        if name in values:
            built[name] = _build(section, values[name])
    return Settings(**built)


def _build(section: type[S], values: Mapping[str, Any]) -> S:
    names = [item.name for item in fields(section)]  # type: ignore[arg-type]
    if not isinstance(values, Mapping):
        fix = f"{section.key}.{names[0]}=..."
        raise ConfigError(section.key, values, "expected a group of keys", fix)
    for name in values:
        if name not in names:
            raise unknown_key(f"{section.key}.{name}")
    return section(**values)


def _groups() -> dict[str, type[Section]]:
    hints = typing.get_type_hints(Settings)
    return {n: hint for n, hint in hints.items() if isinstance(hint, type) and n not in ("seed",)}


def known_keys() -> list[str]:
    """Return every dotted key that a run knows."""
    keys = ["threads", "seed"]
    for name, section in _groups().items():
        keys += [f"{name}.{item.name}" for item in fields(section)]  # type: ignore[arg-type]
    return keys


def unknown_key(key: str) -> ConfigError:
    """Return the error for a key that does not exist, naming the nearest one that does."""
    if key in known_keys() and key.startswith("optimizer."):
        owners = [name for name, own in OPTIMIZER_KEYS.items() if key.split(".")[1] in own]
        return ConfigError(
            key, "...", f"only {', '.join(owners)} have it", f"optimizer={owners[0]}"
        )
    near = nearest_key(key)
    return ConfigError(key, "...", "there is no such key", f"{near}=..." if near else "--help")


def nearest_key(key: str) -> str | None:
    """Return the known key that ``key`` was probably meant to be.

    Abbreviations count both ways (``learning_rate`` and ``lr``), then spelling.
    """
    known = known_keys()
    group, _, leaf = key.rpartition(".")
    candidates = [k for k in known if k.startswith(group + ".")] if group else known
    for candidate in candidates or known:
        name = candidate.rpartition(".")[2]
        if _initials(leaf) == name or _initials(name) == leaf or name == leaf:
            return candidate
    for names in (candidates, known):
        if close := difflib.get_close_matches(key, names, 1, 0.5):
            return close[0]
    return None


def _initials(words: str) -> str:
    return "".join(word[0] for word in words.split("_") if word)
