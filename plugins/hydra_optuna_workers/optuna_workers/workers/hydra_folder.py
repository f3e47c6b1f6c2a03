"""Hydra's own files of a job: config.yaml, hydra.yaml and overrides.yaml, without passwords."""

from __future__ import annotations

from pathlib import Path

from hydra.core import utils
from omegaconf import DictConfig, OmegaConf

from optuna_workers.masking import without_passwords


def mask_saved() -> None:
    """Have Hydra write its files without passwords, in this process from now on.

    Hydra has no hook before it writes them, and a file that is corrected later was readable.
    """
    utils._save_config = _save


def _save(cfg: DictConfig, filename: str, output_dir: Path) -> None:
    output_dir.mkdir(parents=True, exist_ok=True)
    held = without_passwords(OmegaConf.to_container(cfg, resolve=False))
    (output_dir / filename).write_text(OmegaConf.to_yaml(OmegaConf.create(held)), "utf-8")
