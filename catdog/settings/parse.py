"""From the nested dictionaries that Hydra composes to typed settings, and from a typo to the key.

Hydra itself is not imported here, so that settings can be parsed in a notebook, too.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from catdog.errors import ConfigError
from catdog.settings import uses
from catdog.settings.groups import Settings, group_types
from catdog.settings.validation import Group

G = TypeVar("G", bound=Group)

UNGROUPED = ("threads", "seed")


def parse(values: Mapping[str, Any], named: Collection[str] = ()) -> Settings:
    """Build the settings from nested plain dictionaries.

    Args:
        values: Group name to a mapping of its keys; ``seed`` and ``threads`` are plain numbers.
            What is missing has its default.
        named: Keys and groups that the command line names: of keys that the chosen options do not
            use those are refused, and what a recipe set for another option is left out.

    Returns:
        The settings, all values converted to the type of their field.

    Raises:
        ConfigError: a key is unknown, would be ignored, or has a value of the wrong type or
            outside its range.

    Example:
        >>> parse({"optimizer": {"lr": 0.01}, "seed": 7}).optimizer.lr
        0.01
        >>> parse({"head": {"droput": 0.5}})
        Traceback (most recent call last):
        catdog.errors.ConfigError: head.droput=...: there is no such key; try `head.dropout=...`
    """
    groups = group_types()
    for name in values:
        if name not in groups and name not in UNGROUPED:
            raise unknown_key(name)
    values = uses.checked(values, named)
    built: dict[str, Any] = {name: values[name] for name in UNGROUPED if name in values}
    for name, group in groups.items():
        if name in values:
            built[name] = _build(group, values[name])
    return Settings(**built)


def _build(group: type[G], values: Mapping[str, Any]) -> G:
    names = [item.name for item in fields(group)]  # type: ignore[arg-type]
    if not isinstance(values, Mapping):
        fix = f"{group.key}.{names[0]}=..."
        raise ConfigError(group.key, values, "expected a group of keys", fix)
    for name in values:
        if name not in names:
            raise unknown_key(f"{group.key}.{name}")
    return group(**values)


def known_keys() -> list[str]:
    """Return every key of the configuration, with its group: ``optimizer.lr``."""
    keys = list(UNGROUPED)
    for name, group in group_types().items():
        keys += [f"{name}.{item.name}" for item in fields(group)]  # type: ignore[arg-type]
    return keys


def unknown_key(key: str, found: str = "...", option: str = "") -> ConfigError:
    """Return the error for a key that does not exist, with the nearest key that does.

    A key that only other optimizers have counts as unknown, too.

    Args:
        key: The key.
        found: Its value, if it is known.
        option: The option of the group that was chosen, if it is known.

    Example:
        >>> print(unknown_key("trainer.epoch"))
        trainer.epoch=...: there is no such key; try `trainer.epochs=...`
        >>> print(unknown_key("optimizer.momentum", "0.9", "adam"))  # doctest: +ELLIPSIS
        optimizer.momentum=0.9: optimizer=adam would ignore it, only sgd, rmsprop have this ...
    """
    if key in known_keys() and key.startswith("optimizer."):
        return uses.refusal(key, found, option)
    near = nearest_key(key)
    return ConfigError(key, found, "there is no such key", f"{near}={found}" if near else "--help")


def nearest_key(key: str) -> str | None:
    """Return the known key that ``key`` was probably meant to be, or None.

    Abbreviations are tried first, both ways (``learning_rate`` and ``lr``), then similar spelling;
    keys of the same group come before all others.

    Example:
        >>> nearest_key("learning_rate"), nearest_key("head.droput")
        ('optimizer.lr', 'head.dropout')
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
