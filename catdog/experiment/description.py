"""How a run is named and described in MLflow."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from catdog.core.paths import without_password
from catdog.core.provenance import Provenance
from catdog.data.manifest import Manifest
from catdog.settings import OPTIMIZER_KEYS, Settings
from catdog.tracking import names


def run_name(settings: Settings) -> str:
    """Return the name of a run in MLflow, made of its most important settings.

    >>> from catdog.settings import Data
    >>> run_name(Settings(data=Data(name="demo")))
    'mobilenet_v2 linear adam lr=1e-3'
    """
    if settings.tracking.run_name:
        return without_password(settings.tracking.run_name)
    lr = (
        f"{settings.optimizer.lr:.0e}"
        if _is_round(settings.optimizer.lr)
        else f"{settings.optimizer.lr:.2e}"
    )
    lr = lr.replace("e-0", "e-").replace("e+0", "e+")
    lr = settings.lr_range.apply or lr  # when the run gets its name, the rate is not known yet
    name = f"{settings.backbone.name} {settings.head.name} {settings.optimizer.name} lr={lr}"
    if settings.finetune.epochs:
        name += f", then {settings.backbone.block} on lr={settings.finetune.lr:g}"
    return name


def title(settings: Settings, label: str) -> str:
    """Return the name under which MLflow lists a run.

    Args:
        settings: All settings.
        label: The name of a trial, which tells it from the others of its study; of another run
            empty.

    >>> from catdog.settings import Data, Tracking
    >>> title(Settings(data=Data(name="demo")), "t07 lr=0.003")
    't07 lr=0.003'
    >>> title(Settings(data=Data(name="demo"), tracking=Tracking(run_name="mine")), "t07 lr=0.003")
    't07 lr=0.003 mine'
    """
    own = label and not settings.tracking.run_name
    return label if own else f"{label} {run_name(settings)}".strip()


def note(settings: Settings, manifest: Manifest, source: Provenance, result: str) -> str:
    """Write the description of a run: question, data, result and command, in Markdown.

    Args:
        settings: All settings.
        manifest: The photos.
        source: The command and the sweep that started the run.
        result: The result in a sentence.
    """
    counts = manifest.counts
    splits = ", ".join(f"{count:,} {split}" for split, count in counts.items())
    skipped = f"; {len(manifest.skipped):,} skipped" if manifest.skipped else ""
    skipped += f"; {manifest.dropped:,} dropped" if manifest.dropped else ""
    study = source.tags.get(names.STUDY, "")
    part = f", trial {source.tags[names.TRIAL]} of study {study}" if study else ""
    lines = [
        f"**Question**: how good is {run_name(settings)}{part}?",
        f"**Data**: {settings.data.name}, {sum(counts.values()):,} photos of "
        f"{len(manifest.classes)} classes: {splits}{skipped}",
        f"**Result**: {result}",
    ]
    # line breaks within a paragraph, because MLflow hides a description after a few lines
    return "  \n".join(lines) + f"\n\nRepeat it with\n\n    {source.command}\n"


def leaves(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and value of every setting that the run uses.

    Keys of other optimizers are left out.

    >>> from catdog.settings import Data
    >>> dict(leaves(Settings(data=Data(name="demo"))))["optimizer.lr"]
    0.001
    """
    own = ("name", *OPTIMIZER_KEYS[settings.optimizer.name])
    for item in dataclasses.fields(settings):
        value: Any = getattr(settings, item.name)
        if not dataclasses.is_dataclass(value):
            yield item.name, value
            continue
        for leaf in dataclasses.fields(value):
            if item.name != "optimizer" or leaf.name in own:
                yield f"{item.name}.{leaf.name}", getattr(value, leaf.name)


def as_yaml(settings: Settings) -> str:
    """Return all settings as YAML."""
    return json.dumps(dataclasses.asdict(settings), indent=2) + "\n"  # JSON is also YAML


def _is_round(value: float) -> bool:
    return float(f"{value:.0e}") == value
