"""The command line as a person types it: options anywhere, paths and names as they are.

Hydra's grammar knows neither ``ü`` nor ``~`` nor an apostrophe, and reads ``2024_11`` as a number.
So the values of keys that hold a text are put into quotes where Hydra would not read that text.
"""

from __future__ import annotations

import os
import re
import shlex
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from antlr4.error.Errors import RecognitionException
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from catdog.core import commands, paths
from catdog.errors import CatdogError, ConfigError, shown

FILE_KEYS = ("data.path", "data.drop", "backbone.weights")
"""Keys whose value is a file or a folder that is read."""

PLACE_KEYS = ("features.dir", "hydra.run.dir", "hydra.sweep.dir")
"""Keys whose value is a folder that is made where it is missing."""

NAME_KEYS = (
    "tracking.uri", "tracking.experiment", "tracking.run_name", "hydra.sweeper.study_name",
    "hydra.sweeper.storage", "hydra.sweep.subdir", "hydra.job.name",
)  # fmt: skip
"""Keys with another text as their value."""

_START = re.compile(r"(\+{0,2}(?:[A-Za-z_$][\w.@/$-]*))=(.*)", re.ASCII | re.DOTALL)


def parser() -> ArgumentParser:
    """Return Hydra's parser of a command line; its options may stand behind overrides too.

    Example:
        >>> parser().parse_args(["data=kaggle", "-m", "seed=1,2"]).overrides
        ['data=kaggle', 'seed=1,2']
    """
    made = get_args_parser()
    made.parse_args = made.parse_intermixed_args  # type: ignore[method-assign]
    return made


def as_meant(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with each text in quotes that Hydra needs.

    A path that exists is that path, whatever Hydra would read.

    Args:
        words: Options and overrides.

    Raises:
        CatdogError: a word is no override, or nothing says what its value means; the message shows
            the quotes that do.

    Example:
        >>> as_meant(["-m", "tracking.experiment=Müller (2)", "seed=1,2"])
        ['-m', 'tracking.experiment="Müller (2)"', 'seed=1,2']
    """
    options = parser().parse_args(list(words))
    # a configuration of the user's own may start a sweep by itself
    own = options.config_name or options.config_path
    mode = any(word.startswith("hydra.mode=") for word in options.overrides)
    sweeping = bool(options.multirun or own or mode)
    meant, left = [], list(options.overrides)
    for k, word in enumerate(words):
        if not left or word != left[0]:
            meant.append(word)
            continue
        left.pop(0)
        if "=" not in word and word[:1] != "~":
            raise _loose(list(words[:k]), [word, *left])
        meant.append(_as_meant(word, sweeping))
    return meant


def _as_meant(word: str, sweeping: bool) -> str:
    start = _START.fullmatch(word)
    if start is None:
        return _readable(word)
    key, value = start.groups()
    name = key.lstrip("+")
    if name not in (*FILE_KEYS, *PLACE_KEYS, *NAME_KEYS):
        return _readable(word)
    read, listed = commands.parsed(word), sweeping and not name.startswith("hydra.")
    plain = None if read is None or read.is_sweep_override() else read.value()
    if name in PLACE_KEYS and value[:1] == "~":  # Hydra would make a folder of this name
        return commands.override(key, os.path.expanduser(value))
    if name in FILE_KEYS + PLACE_KEYS and value not in ("", "null") and _exists(value):
        fine = plain == value and "${" not in value
        return word if fine else commands.override(key, value)
    if read is not None and read.is_sweep_override():
        return word if listed else commands.override(key, value)
    if listed and read is None and "," in value:
        return f"{key}={','.join(map(_item, value.split(',')))}"
    if read is not None and (plain is None or isinstance(plain, str)):
        return word
    return f"{key}={commands.quoted(value)}" if "${" in value else commands.override(key, value)


def _exists(value: str) -> bool:
    return os.path.exists(os.path.join(paths.here(), os.path.expanduser(value)))


def _item(text: str) -> str:
    return text if commands.parsed(f"_={text}") else commands.override("", text)[1:]


def _readable(word: str) -> str:
    """Return a word that Hydra can read, or one whose error Hydra itself explains.

    Raises:
        CatdogError: it is not in Hydra's grammar.
    """
    try:
        OverridesParser.create().parse_override(word)
    except HydraException as error:
        if error.__cause__ is None or isinstance(error.__cause__, RecognitionException):
            raise _unreadable(word, " ".join(str(error).split())) from None
    return word


def _unreadable(word: str, reason: str) -> CatdogError:
    start = _START.fullmatch(word)
    if start is None:
        from catdog.settings import parse

        return parse.unknown_key(word.lstrip("+~").partition("=")[0])
    key, value = start.groups()
    fix = ""
    if value[:1] == "[" and value[-1:] == "]":
        fix = f"{key}=[{','.join(map(_item, value[1:-1].split(',')))}]"
    elif key.lstrip("+").startswith("hydra."):  # catdog's other keys take no free text
        fix = commands.override(key, value)
    fix = shlex.quote(fix) if fix and commands.parsed(fix) else ""
    return ConfigError(key, value, f"Hydra cannot read this value ({reason})", fix)


def _loose(before: Sequence[str], words: Sequence[str]) -> CatdogError:
    """Return the error for words that are no overrides, such as the rest of a path."""
    word, start = words[0], _START.fullmatch(before[-1]) if before else None
    if start and start[1].lstrip("+") in FILE_KEYS + PLACE_KEYS + NAME_KEYS:
        rest = words[: next((k for k, one in enumerate(words) if "=" in one), len(words))]
        whole = shlex.quote(" ".join([before[-1], *rest]))
        return CatdogError(
            f"{shown(word)}: is no key=value; a value with a space stands in quotes; try `{whole}`"
        )
    fix = commands.command("data=folder", commands.override("data.path", word))
    how = f"; try `{fix}`" if _exists(word) else ""
    return CatdogError(f"{shown(word)}: is no key=value{how}")


def absolute(override: str) -> str:
    """Return an override with the absolute path of its file, so that it works from any folder.

    Args:
        override: Any override; only those of files and folders are changed.

    Example:
        >>> absolute("data.path=/") == absolute("data.path=/"), absolute("optimizer.lr=0.01")
        (True, 'optimizer.lr=0.01')
    """
    start = _START.fullmatch(override)
    name = start[1].lstrip("+") if start else ""
    if start is None or name not in (*FILE_KEYS, *PLACE_KEYS, "tracking.uri"):
        return override
    read = commands.parsed(override)
    if read is None or read.is_sweep_override() and not read.is_choice_sweep():
        return override
    value: Any = read.value()
    values = value.list if read.is_sweep_override() else [value]
    texts = [getattr(one, "text", one) for one in values]
    changed = [_absolute(name, text) if isinstance(text, str) else text for text in texts]
    if changed == texts:
        return override
    return f"{start[1]}={','.join(commands.override('', text)[1:] for text in changed)}"


def _absolute(key: str, text: str) -> str:
    if key == "tracking.uri":
        return paths.store(text, paths.here()) if text.startswith("sqlite:") else text
    path = commands.unescaped(text)
    interpolated = path.count("${") > text.count("\\${")
    if not path or interpolated or os.path.isabs(os.path.expanduser(path)):
        return text
    return str(paths.here() / path) if key in PLACE_KEYS or _exists(path) else text


def command(words: Sequence[str], module: str = "train", own: Sequence[str] = ()) -> str:
    """Return a command of catdog's with absolute paths, so that it can be pasted anywhere.

    Args:
        words: Hydra's options, and overrides, as ``as_meant`` returns them.
        module: Name of the command.
        own: Its options that are none of Hydra's.

    Example:
        >>> command(["seed=1", "-m", "head=linear,mlp"])
        'python -m catdog.train -m seed=1 head=linear,mlp'
    """
    options = parser().parse_args(list(words))
    folder, name = options.config_dir, options.config_name
    flags = {"--config-path": options.config_path, "--config-dir": folder, "--config-name": name}
    if module == "train" and folder == str(paths.sweeps()):  # set by python -m catdog.sweep
        module, flags, own = "sweep", {}, (name,)
    elif folder:
        flags["--config-dir"] = str(paths.here() / folder)
    said = [word for flag, value in flags.items() if value for word in (flag, value)]
    said += ["-m"] if options.multirun else []
    said += map(absolute, options.overrides)
    return commands.command("python", "-m", f"catdog.{module}", *own, *said)
