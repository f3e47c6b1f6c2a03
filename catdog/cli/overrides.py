"""Hydra's overrides as text: their keys and values, and the command that they make."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from catdog.core import paths

CONFIG = "train"
"""Name of the configuration that every command composes, unless a search names its own."""

FILE_KEYS = ("data.path", "data.drop", "backbone.weights", "features.dir")


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return a composed configuration as dictionaries, without Hydra's own part."""
    return {
        str(key): OmegaConf.to_container(value, resolve=True)
        if OmegaConf.is_config(value)
        else value
        for key, value in ((key, cfg[key]) for key in cfg if key != "hydra")
    }


def unnamed(cfg: DictConfig) -> list[str]:
    """Return the keys whose values the overrides alone do not give.

    They are those that a configuration file of one's own sets beside ``train``: a command made of
    the overrides would not repeat them. Only works while Hydra runs.

    Args:
        cfg: A composed configuration, ``hydra`` included.
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


def named(words: Sequence[str]) -> dict[str, str]:
    """Return the values of all overrides by key, as text without quotes."""
    return {key_of(word): word.partition("=")[2].strip("'\"") for word in words if "=" in word}


def key_of(word: str) -> str:
    """Return what an override is about."""
    return word.lstrip("+~").partition("=")[0]


def absolute(override: str) -> str:
    """Return an override whose file is named in full, so that it repeats from any folder."""
    key, _, value = override.partition("=")
    path = Path(value).expanduser()
    if key not in FILE_KEYS or not value or path.is_absolute() or not path.exists():
        return override
    return f"{key}='{path.absolute()}'"


def typed_command() -> str:
    """Return this process's command, so that it can be pasted anywhere."""
    words = [absolute(word) for word in sys.argv[1:]]
    if words[:2] == ["--config-dir", str(paths.sweeps())]:  # by python -m catdog.sweep
        return shlex.join(["python", "-m", "catdog.sweep", *words[3:]])
    return shlex.join(["python", "-m", "catdog.train", *words])
