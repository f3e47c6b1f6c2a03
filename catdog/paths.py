"""Where things live: the configs, and the project root that mlruns/ belongs to."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def configs() -> Path:
    """Return the folder of configs: inside an installed wheel, beside the package in a clone."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"


def root() -> Path:
    """Return the clone's folder, or the current one when catdog is an installed wheel."""
    clone = PACKAGE.parent
    return clone if (clone / "conf" / "train.yaml").is_file() else Path.cwd()
