"""Reads and writes Hydra's overrides as text: keys, values, and the command that repeats a run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf
from optuna_workers.masking import without_passwords

from catdog.core import paths

CONFIG = "train"
"""Name of the configuration that every command composes, unless a search names its own."""

FILE_KEYS = ("data.path", "data.drop", "backbone.weights", "features.dir")
"""Keys whose value is a file or a folder."""


def named(words: Sequence[str]) -> dict[str, str]:
    """Return the values of overrides by key, as text without quotes.

    Args:
        words: Arguments of a command line; those without ``=`` are ignored.

    Example:
        >>> named(["-m", "optimizer.lr=0.01", "+data.path='my photos'"])
        {'optimizer.lr': '0.01', 'data.path': 'my photos'}
    """
    return {key_of(word): word.partition("=")[2].strip("'\"") for word in words if "=" in word}


def key_of(word: str) -> str:
    """Return the key of an override.

    Example:
        >>> key_of("+experiment=original"), key_of("~schedule")
        ('experiment', 'schedule')
    """
    return word.lstrip("+~").partition("=")[0]


def absolute(override: str) -> str:
    """Return an override with the absolute path of its file, so that it works from any folder.

    Args:
        override: Any override; only those of ``FILE_KEYS`` with a file that exists are changed.

    Example:
        >>> absolute("data.path=/") == absolute("data.path=/"), absolute("optimizer.lr=0.01")
        (True, 'optimizer.lr=0.01')
    """
    key, _, value = override.partition("=")
    path = Path(value).expanduser()
    if key not in FILE_KEYS or not value or path.is_absolute() or not path.exists():
        return override
    return f"{key}='{path.absolute()}'"


def typed_command() -> str:
    """Return this process's command, with absolute paths, so that it can be pasted anywhere."""
    words = [absolute(word) for word in sys.argv[1:]]
    if words[:2] == ["--config-dir", str(paths.sweeps())]:  # set by python -m catdog.sweep
        words = ["python", "-m", "catdog.sweep", *words[3:]]
        return paths.without_password(shlex.join(words))
    return paths.without_password(shlex.join(["python", "-m", "catdog.train", *words]))


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return a composed configuration as dictionaries, without the part ``hydra``.

    Example:
        >>> plain(OmegaConf.create({"seed": 0, "head": {"units": [8]}, "hydra": {"job": "x"}}))
        {'seed': 0, 'head': {'units': [8]}}
    """
    return {
        str(key): OmegaConf.to_container(value, resolve=True)
        if OmegaConf.is_config(value)
        else value
        for key, value in ((key, cfg[key]) for key in cfg if key != "hydra")
    }


def hidden(cfg: DictConfig) -> dict[str, str]:
    """Return the keys whose values environment variables give, and what names these.

    Example:
        >>> hidden(OmegaConf.create({"data": {"path": "${oc.env:PHOTOS}"}, "seed": 0}))
        {'data.path': '${oc.env:PHOTOS}'}
    """
    raw: Any = OmegaConf.to_container(cfg, resolve=False)
    leaves = _leaves({str(key): value for key, value in raw.items() if key != "hydra"})
    return {key: value for key, value in leaves if isinstance(value, str) and "oc.env:" in value}


def resolved(cfg: DictConfig) -> str:
    """Return a composed configuration as YAML, all but what environment variables give.

    Example:
        >>> print(resolved(OmegaConf.create({"a": "${b}", "b": 1, "c": "${oc.env:HOME}"})))
        a: 1
        b: 1
        c: ${oc.env:HOME}
        <BLANKLINE>
    """
    values: Any = OmegaConf.create(plain(cfg))
    for key, text in hidden(cfg).items():
        OmegaConf.update(values, key, text)
    held = without_passwords(OmegaConf.to_container(values, resolve=False))
    return OmegaConf.to_yaml(OmegaConf.create(held))


def unnamed(cfg: DictConfig) -> list[str]:
    """Return the keys with values that do not follow from the overrides.

    A user's own configuration file, such as a search, sets them in addition to ``train``. A
    command made of the overrides would not repeat them. Only works while Hydra runs.

    Args:
        cfg: A composed configuration with its part ``hydra``.
    """
    job = cfg.hydra
    if job.job.config_name == CONFIG:
        return []
    alone = dict(_leaves(plain(hydra.compose(CONFIG, list(job.overrides.task)))))
    return [key for key, value in _leaves(plain(cfg)) if alone.get(key) != value]


def _leaves(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
