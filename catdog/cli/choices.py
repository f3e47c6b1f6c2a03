"""Which keys a command sets, and which of those the chosen options would ignore."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from catdog.cli.overrides import composed, key_of, plain
from catdog.core import plain_yaml
from catdog.errors import ConfigError
from catdog.settings import uses


def named_keys(words: Sequence[str]) -> set[str]:
    """Return the keys and groups that overrides set.

    Args:
        words: Overrides; what is none is left out.

    Example:
        >>> sorted(named_keys(["+schedule=cosine", "data={path: photos}", "-m"]))
        ['data', 'data.path', 'schedule']
    """
    found = set()
    for read in _read(words):
        key, value = read.key_or_group, read.value()
        leaves = value if isinstance(value, Mapping) else ()
        found |= {key, *(f"{key}.{leaf}" for leaf in leaves)}
    return found


def _read(words: Sequence[str]) -> Iterator[Override]:
    parser = OverridesParser.create()
    for word in words:
        if not word.startswith("-"):
            try:
                yield from parser.parse_overrides([word])
            except HydraException:
                continue


def still_used(stored: Sequence[str], typed: Sequence[str] = ()) -> list[str]:
    """Return the overrides of a stored run without the keys that its options ignore.

    Earlier versions recorded these, too; a command would refuse them.

    Args:
        stored: Overrides of the run.
        typed: What the command line adds, or chooses instead.

    Example:
        >>> still_used(["data.path=photos", "seed=1"])
        ['seed=1']
    """
    if not any(key_of(word) in uses.USES for word in stored):
        return list(stored)
    others = [read.input_line or "" for read in _read(typed) if not read.is_sweep_override()]
    unused = uses.ignored(_composed([*stored, *others]))
    return [word for word in stored if key_of(word) not in unused]


def _composed(words: list[str]) -> Mapping[str, Any]:
    """Return what overrides mean; nothing where they cannot be composed, which others say."""
    try:
        return plain(composed(words))
    except (HydraException, OmegaConfBaseException):
        return {}


def check_search(
    values: Mapping[str, Any], space: Mapping[str, Any], fixed: Sequence[str]
) -> None:
    """Refuse a search in which some of the options that it tries ignore a key that it sets.

    Args:
        values: The settings of its first point, as nested plain dictionaries.
        space: What is swept, by name, as the sweeper stores it with a study.
        fixed: The overrides that are not swept.

    Raises:
        ConfigError: there is such a key; the message has the condition to add.

    Example:
        >>> space = {"schedule": {"kind": "choice", "choices": ["constant", "cosine"]}}
        >>> check_search({}, space, ["schedule.final_lr=1e-5"])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        catdog.errors.ConfigError: schedule.final_lr=1e-5: schedule=constant would ignore it, ...
    """
    written = {key_of(word): word.partition("=")[2] for word in fixed}
    for key, use in uses.USES.items():
        if use.is_switch and uses.is_off(_value(written.get(use.chooser, True))):
            continue  # a recipe may have the key; who switches its test off means all of it
        if key not in space and key not in written or _all_off(space.get(key), written.get(key)):
            continue
        name = use.chooser if use.chooser in space else f"{use.chooser}.name"
        needed = _needed(key, space)
        options = needed.get(name) or _options(space.get(name)) or [use.chosen(values)]
        read = [_value(option) for option in options]
        if bad := [option for option in read if not use.admits(option)]:
            good = [str(option) for option in read if use.admits(option)]
            raise _refusal(key, written.get(key), bad[0], name, good)


def _all_off(swept: Any, text: str | None) -> bool:
    texts = _options(swept) if swept else [text]
    return bool(texts) and all(uses.is_off(_value(one)) for one in texts)


def _value(text: Any) -> Any:
    try:
        return plain_yaml.read(str(text))
    except ValueError:  # any text may be a path
        return text


def _options(swept: Any) -> list[Any]:
    if not swept:
        return []
    return list(swept["choices"]) if "choices" in swept else [swept["low"], swept["high"]]


def _needed(key: str, space: Mapping[str, Any]) -> dict[str, Collection[str]]:
    """Return under which conditions a key is swept, those of its conditions included."""
    own = space.get(key, {}).get("when", {})
    above = [_needed(other, space) for other in own]
    return {name: some for needed in (*above, own) for name, some in needed.items()}


def _refusal(
    key: str, text: str | None, option: Any, name: str, good: Sequence[str]
) -> ConfigError:
    """Return the error for a key of a search; with the condition where some options have it."""
    if not good:
        return uses.refusal(key, text or "...", option)
    swept = f"{key}=choice({text}) " if text else ""
    fix = f"{swept}'hydra.sweeper.when={{{key}:{{{name}:[{','.join(good)}]}}}}'"
    return ConfigError(key, text or "...", uses.why(key, option), fix)
