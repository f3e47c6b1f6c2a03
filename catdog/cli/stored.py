"""What a store may say of a run: plain values of catdog's own keys, and options that are there.

A store is data, never code. Whoever can write to it could otherwise have a command of this machine
executed by ``repeat``, ``+best=`` or ``promote --retrain``, through Hydra's own keys, options of
the command line or resolvers. Every reader of stored overrides takes them from here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from catdog.cli.overrides import key_of
from catdog.core import paths, plain_yaml
from catdog.errors import DataError, listed, shown
from catdog.settings import parse
from catdog.settings.groups import group_types
from catdog.tracking import names, past_run
from catdog.tracking.run import Run

LONGEST, MOST_WORDS = 10_000, 1_000
"""Characters of an override, and overrides of a run."""

STORE = "tracking.uri"
"""Kept only where it names the store it was read from: none sends a run elsewhere."""

_START = re.compile(r"(?:\+\+?|~)?(?P<key>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?:=|$)", re.ASCII)
_OPTION = re.compile(r"[A-Za-z0-9_][\w-]*", re.ASCII)


def of_run(run: Run, besides: Collection[str] = ()) -> list[str]:
    """Return the overrides that a run was started with; those of a trial with the swept values.

    Args:
        run: The run.
        besides: Keys that are left out, because the command line names them.

    Raises:
        ConfigError: the run was not logged by catdog.
        DataError: they hold what a store may not say.
    """
    try:
        text = run.text(names.OVERRIDES, most=plain_yaml.MOST_BYTES)
    except FileNotFoundError:
        raise past_run.missing(run, names.OVERRIDES) from None
    place = f"{names.OVERRIDES} of run {run.run_id}"
    checked = overrides(content(text, place), place, run.uri, besides)
    return past_run.at_present(checked, run.uri)


def content(text: str, place: str) -> Any:
    """Return what a stored YAML text holds.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return plain_yaml.read(text)
    except ValueError as error:
        raise DataError(place, f"cannot be read: {error}") from None


def overrides(words: Any, place: str, uri: str, besides: Collection[str] = ()) -> list[str]:
    """Return stored overrides, as they are, after a check of each.

    Args:
        words: What a store has in place of a list of overrides.
        place: Where they are stored, for messages.
        uri: Address of the MLflow store they were read from; a ``tracking.uri`` that names
            another one is left out.
        besides: Keys that are left out, unread.

    Raises:
        DataError: some of them are no plain values of catdog's keys and no options of its groups;
            the message names them.

    Example:
        >>> overrides(["head=mlp", "optimizer.lr=0.01"], "best.yaml", "sqlite:///mlflow.db")
        ['head=mlp', 'optimizer.lr=0.01']
        >>> overrides(["hydra.job.chdir=1"], "best.yaml", "")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        catdog.errors.DataError: best.yaml: holds what a store may not say: `hydra.job.chdir=1`...
    """
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise DataError(place, "is no list of overrides", "Take the run's own file")
    if len(words) > MOST_WORDS:
        raise DataError(place, f"holds {len(words)} overrides; no run has more than {MOST_WORDS}")
    # JSON writes a character beyond 16 bits as two, which YAML does not join again
    joined = [word.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for word in words]
    left = [word for word in joined if key_of(word) not in besides]
    refused = [f"`{shown(word, 80)}` ({why})" for word in left if (why := complaint(word))]
    if refused:
        fix = "What is meant so can be named on the command line"
        raise DataError(place, f"holds what a store may not say: {listed(refused)}", fix)
    return [word for word in left if key_of(word) != STORE or _names(word, uri)]


def complaint(word: str) -> str:
    """Return why a store may not say an override; empty if it may.

    Example:
        >>> complaint("optimizer.lr=0.01"), complaint("head=../../tmp/mine")
        ('', 'no plain option of a group')
        >>> complaint("data.path=${oc.env:HOME}")
        'a resolver, not a plain value'
    """
    if len(word) > LONGEST:
        return f"longer than {LONGEST} characters"
    start = _START.match(word)
    if word.startswith("-") or start is None:
        return "no key=value"
    if start["key"].split(".")[0] == "hydra":
        return "a key of Hydra's own"
    try:
        (read,) = OverridesParser.create().parse_overrides([word])
        return _complaint_of(read, start["key"])
    except (HydraException, RecursionError, ValueError):
        return "not in Hydra's grammar"


def _complaint_of(read: Override, key: str) -> str:
    if read.is_sweep_override():
        return "several values"
    value = read.value()
    if _is_group(key) and not isinstance(value, Mapping):
        options = value if isinstance(value, list) else [value]
        fine = all(one is None or _is_option(one) for one in options)
        return "" if fine else "no plain option of a group"
    return next(filter(None, (_of_leaf(*leaf) for leaf in _leaves(key, value))), "")


def _is_group(key: str) -> bool:
    return key in group_types() and key not in parse.UNGROUPED or (paths.configs() / key).is_dir()


def _is_option(value: Any) -> bool:
    # no path: such a name can only mean a file in a group of the local configuration
    return isinstance(value, str) and bool(_OPTION.fullmatch(value))


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield key, value
        return
    for name, inner in value.items():
        yield from _leaves(f"{key}.{name}", inner)


def _of_leaf(key: str, value: Any) -> str:
    if key not in parse.known_keys():
        return f"there is no key {shown(key, 40)}"
    values = value if isinstance(value, list) else [value]
    if any("${" in one for one in values if isinstance(one, str)):
        return "a resolver, not a plain value"
    plain = all(one is None or isinstance(one, (bool, int, float, str)) for one in values)
    return "" if plain else "no plain value"


def _names(word: str, uri: str) -> bool:
    (read,) = OverridesParser.create().parse_overrides([word])
    return bool(read.value() == uri)
