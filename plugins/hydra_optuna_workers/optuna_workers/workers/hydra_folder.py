"""A job's folder, with a name that disks can hold, and Hydra's files in it, without passwords."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hydra.core import utils
from omegaconf import DictConfig, OmegaConf

from optuna_workers.masking import without_passwords

LONGEST_NAME = 255
"""Bytes of a file's name that Linux' file systems hold."""


def fitting(path: str) -> str:
    """Return a path without names that are too long: each is cut, and ends in a hash of itself.

    ``hydra.job.override_dirname`` has all overrides in one name.

    Example:
        >>> fitting("trials/x=1")
        'trials/x=1'
        >>> one, other = (fitting("trials/" + 300 * "x" + end) for end in "ab")
        >>> len(one), one == other, one[-20:]
        (262, False, 'xxxxxxx-f5e724b7ec29')
    """
    return "/".join(map(_fitting_name, path.split("/")))


def _fitting_name(name: str) -> str:
    held = name.encode()
    if len(held) <= LONGEST_NAME:
        return name
    end = f"-{hashlib.sha256(held).hexdigest()[:12]}"
    return held[: LONGEST_NAME - len(end)].decode(errors="ignore") + end


def mask_saved() -> None:
    """Have Hydra write its files without passwords, in this process from now on.

    Hydra has no hook before it writes them, and a file that is corrected later was readable.
    """
    utils._save_config = _save


def _save(cfg: DictConfig, filename: str, output_dir: Path) -> None:
    output_dir.mkdir(parents=True, exist_ok=True)
    held = without_passwords(OmegaConf.to_container(cfg, resolve=False))
    (output_dir / filename).write_text(OmegaConf.to_yaml(OmegaConf.create(held)), "utf-8")
