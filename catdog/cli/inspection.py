"""Hydra's options that only show something, of sweeps too: Hydra refuses ``-m`` beside them."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import OmegaConf

MULTIRUN = ("-m", "--multirun")


def without_multirun(words: Sequence[str]) -> list[str]:
    """Let ``--cfg`` and ``--info`` answer for a sweep, and return the words for Hydra.

    They then show one point of the sweep, the first of each list and the least of each interval.

    Args:
        words: Arguments of the command line.

    Example:
        >>> without_multirun(["-m", "seed=1,2"])
        ['-m', 'seed=1,2']
    """
    asked, _ = get_args_parser().parse_known_args(list(words))
    if asked.cfg is None and asked.info is None:
        return list(words)
    for name in ("show_cfg", "show_info"):
        setattr(Hydra, name, _of_one_point(getattr(Hydra, name), asked.multirun))
    return [word for word in words if word not in MULTIRUN]


def _of_one_point(show: Callable[..., None], multirun: bool) -> Callable[..., None]:
    """Wrap a method of Hydra that shows something, so that it is asked without swept values."""

    @functools.wraps(show)
    def shown(
        self: Hydra, *kind: str, config_name: str | None, overrides: list[str], **more: Any
    ) -> None:
        words = _one_point(self, config_name, overrides, multirun)
        show(self, *kind, config_name=config_name, overrides=words, **more)

    return shown


def _one_point(
    hydra: Hydra, config_name: str | None, overrides: list[str], multirun: bool
) -> list[str]:
    """Return the overrides of a point of a sweep; of a single run what was given."""
    given = [*overrides, "hydra.mode=MULTIRUN"] if multirun else overrides
    cfg = hydra.compose_config(
        config_name, given, RunMode.MULTIRUN, validate_sweep_overrides=False
    )
    if cfg.hydra.mode != RunMode.MULTIRUN:
        return overrides
    from optuna_workers import space

    from catdog.cli import console

    words: Any = OmegaConf.to_container(cfg.hydra.overrides, resolve=False)
    params, when = (OmegaConf.select(cfg, f"hydra.sweeper.{key}") for key in ("params", "when"))
    parser = OverridesParser.create(config_loader=hydra.config_loader)
    point = space.read(words["task"], params, when, parser).examples()[0]
    swept = [word for word in point if word not in words["task"]]
    console.Console().note(f"one point of the sweep: {' '.join(swept) or 'nothing is swept'}")
    return [*words["hydra"], *point]


def refusal(error: Exception) -> str | None:
    """Return what Hydra says of options that do not go together; None for any other error."""
    if not isinstance(error, ValueError) or error.__traceback__ is None:
        return None
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    said_by = str(frame.f_globals.get("__name__", ""))
    return str(error) if said_by.startswith("hydra.") else None
