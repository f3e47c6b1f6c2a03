"""Reads Hydra's overrides and the configurations that are composed of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.conf import HydraConf
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from optuna_workers.masking import without_passwords

from catdog.core import commands, paths

CONFIG = "train"
"""Name of the configuration that every command composes, unless a search names its own."""


def named(words: Sequence[str]) -> dict[str, str]:
    """Return the values of overrides by key, as text without quotes.

    Args:
        words: Arguments of a command line; those without ``=`` are ignored.

    Example:
        >>> named(["-m", "optimizer.lr=0.01", "+data.path='my photos'"])
        {'optimizer.lr': '0.01', 'data.path': 'my photos'}
    """
    return {key_of(word): commands.text(word) for word in words if "=" in word}


def key_of(word: str) -> str:
    """Return the key of an override.

    Example:
        >>> key_of("+experiment=original"), key_of("~schedule")
        ('experiment', 'schedule')
    """
    return word.lstrip("+~").partition("=")[0]


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


def standing_alone(cfg: DictConfig, job: HydraConf) -> list[str]:
    """Return overrides that give a job's configuration without configuration files of the user's.

    These may change or be gone by the time the run is repeated, and what a store says may not name
    them. Without such files the overrides are those of the job.

    Args:
        cfg: The job's configuration.
        job: Its part ``hydra``.
    """
    words, choices = list(job.overrides.task), job.runtime.choices
    known = {str(group): _is_own(str(group), option) for group, option in choices.items()}
    # trials of a search name all that its file sets: see unnamed
    alone = job.job.config_name == CONFIG or job.mode == RunMode.MULTIRUN
    if alone and all(known.values()) and _own_files(job):
        return words
    words = [word for word in words if known.get(key_of(word), True)]
    named = {key_of(word) for word in words}
    usual = composed([]).hydra.runtime.choices
    for group, option in choices.items():
        if group in usual and group not in named and known[group] and usual[group] != option:
            words.append(f"{group}={option}")
    return [*words, *_differences(cfg, composed(words))]


def foreign(words: Sequence[str]) -> bool:
    """Return whether overrides choose an option that only a user's own file describes.

    Example:
        >>> foreign(["data=folder", "seed=1"]), foreign(["data=mine"])
        (False, True)
    """
    chosen = [(key_of(word), commands.text(word)) for word in words]
    return not all(_is_own(*one) for one in chosen if (paths.configs() / one[0]).is_dir())


def _own_files(job: HydraConf) -> bool:
    """Return whether the main folder of configurations is catdog's own."""
    return any(
        source.provider == "main" and source.path == str(paths.configs())
        for source in job.runtime.config_sources
    )


def _is_own(group: str, option: Any) -> bool:
    """Return whether catdog has an option; Hydra's own groups say nothing about a run."""
    hydras = group.split("/")[0] == "hydra" or not isinstance(option, str)
    return hydras or (paths.configs() / group / f"{option}.yaml").is_file()


def composed(words: list[str]) -> DictConfig:
    """Compose catdog's own files, whatever else this command's Hydra looks into.

    It may run within Hydra, and beside it.

    Args:
        words: Overrides.
    """
    folder = create_config_search_path(str(paths.configs()))
    loader = ConfigLoaderImpl(config_search_path=folder)
    return loader.load_configuration(CONFIG, words, RunMode.RUN, from_shell=False)


def _differences(cfg: DictConfig, alone: DictConfig) -> list[str]:
    """Return the overrides that turn a configuration into another one."""
    wanted, there = dict(_leaves(plain(cfg))), dict(_leaves(plain(alone)))
    secret = hidden(cfg)
    sets = [
        f"{key}={secret[key]}" if key in secret else commands.override(key, value)
        for key, value in wanted.items()
        if key not in there or there[key] != value
    ]
    adds = [one if key_of(one) in there else f"+{one}" for one in sets]
    return [*adds, *(f"~{key}" for key in there if key not in wanted)]


def _leaves(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
