"""python -m catdog.suggest: the LR range test alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf
from rich.console import Console as RichConsole
from rich.table import Table

from catdog.cli import hydra_app
from catdog.study.first_point import DROPOUT, SUGGESTIONS_FILE, StartFromRangeTest

if TYPE_CHECKING:
    from catdog.training.lr_range import Curve

__all__ = ["StartFromRangeTest", "main", "task"]  # searches name the first one by this path


def main() -> None:
    """Run the command."""
    hydra_app.start(task)


@hydra_app.with_one_message
def task(cfg: DictConfig) -> None:
    """Run the LR range test with the configured photos, head and optimizer."""
    curve = _test(cfg)
    suggestions, nothing = curve.suggestions, curve.nothing
    if file := os.environ.get(SUGGESTIONS_FILE):
        dropout = OmegaConf.select(cfg, DROPOUT)
        content = {"suggestions": suggestions, "nothing": nothing, DROPOUT: dropout}
        Path(file).write_text(json.dumps(content, default=list))
    else:
        print_suggestions(suggestions, nothing)


def _test(cfg: DictConfig) -> Curve:
    from catdog.cli import console, inputs
    from catdog.core import runtime
    from catdog.core.memo import Memo

    settings, progress = hydra_app.settings_of(cfg), console.Console()
    known = Memo() if SUGGESTIONS_FILE in os.environ else None  # its search has listed the photos
    manifest, weights = inputs.photos_and_weights(settings, progress, known)
    runtime.load_tensorflow(progress.note)
    from catdog.experiment import build, prefix

    extractor = prefix.extractor(settings, weights, Memo())
    feeds = build.feeds(settings, manifest, extractor, progress)
    trained = build.new_head(settings, extractor, manifest)
    return build.range_test(settings, manifest, trained, feeds["train"], progress)


def print_suggestions(suggestions: dict[str, float], nothing: str = "") -> None:
    """Print what the LR range test suggests, or why it suggests nothing."""
    if not suggestions:
        print(f"LR range test: no suggestion, since {nothing}")
        return
    table = Table(title="LR range test", show_header=False, title_justify="left")
    for name, rate in suggestions.items():
        table.add_row(name, f"optimizer.lr={rate:.1e}")
    RichConsole(highlight=False).print(table)


if __name__ == "__main__":
    main()
