"""python -m catdog.suspects: labels that may be wrong, and photos that are nearly the same."""

from __future__ import annotations

import argparse
import dataclasses
import gc
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from catdog import command, paths
from catdog.settings import Head

if TYPE_CHECKING:
    from catdog.settings import Settings

EPILOG = """\
key=value are catdog.train's; data, backbone and features matter.

  python -m catdog.suspects data=kaggle data.path=train.zip
  python -m catdog.suspects --split train data=kaggle data.path=train.zip
  python -m catdog.train data=kaggle data.path=train.zip data.drop=suspects.csv
"""


def main() -> None:
    """Run the command."""
    asked, words = _parse(sys.argv[1:])
    sys.argv[1:] = words
    typed = ["python", "-m", "catdog.suspects", *map(command.absolute, words)]
    typed += [f"--similarity={asked.similarity}"] if asked.similarity else []
    typed += [f"--split={asked.split}"] if asked.split != "all" else []

    def task(cfg: DictConfig) -> None:
        gc.enable()
        with command.one_message():
            _look(command.settings_of(cfg), asked, shlex.join(typed))

    command.start(task)


def _parse(words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = command.parser(
        "suspects",
        "List labels that a model doubts, and near-duplicates.",
        EPILOG,
        usage="%(prog)s [--similarity COSINE] [--split SPLIT] [key=value ...]",
    )
    about = "least cosine of two photos' features that makes them near-duplicates (0.95)"
    parser.add_argument("--similarity", type=_cosine, metavar="COSINE", help=about)
    about = "train: judged by training photos alone, to drop some by data.drop (all)"
    parser.add_argument("--split", choices=("all", "train"), default="all", help=about)
    return parser.parse_known_args(words)


def _cosine(text: str) -> float:
    if 0 < float(text) < 1:
        return float(text)
    raise argparse.ArgumentTypeError("expected a number between 0 and 1")


def _look(settings: Settings, asked: argparse.Namespace, typed: str) -> None:
    from catdog import console, prepare, runtime
    from catdog.kept import Kept
    from catdog.tracking import Tracker

    progress, tracking = console.Console(), settings.tracking
    # averaged features, whatever the head
    settings = dataclasses.replace(settings, head=Head(name="linear", pooling="avg"))
    manifest, weights = prepare.photos_and_weights(settings, progress)
    if asked.split == "train":
        manifest = dataclasses.replace(manifest, photos=tuple(manifest.of("train")))
    tracker = Tracker(uri=tracking.uri, experiment=tracking.experiment, root=paths.root())
    runtime.load_tensorflow()
    from catdog import doubts, features, inspection, parts

    tags = {"catdog.kind": "evaluation", "catdog.command": typed}
    with tracker.recorded(f"suspects in {manifest.root.name}", tags) as run:
        root = Path(settings.features.dir).expanduser()
        source = parts.extractor(settings, weights, Kept())
        held = features.ensure(root, source, manifest.photos, progress=progress)
        ((store, rows),) = held.views
        found = inspection.inspect(
            manifest, store.read(rows).astype("float32"), seed=settings.seed,
            similarity=asked.similarity or doubts.SIMILARITY, progress=progress,
        )  # fmt: skip
        inspection.log(run, found, manifest, typed)
    console.inspected(found, run.local_artifacts(), tracker.how_to_browse(run.run_id))


if __name__ == "__main__":
    main()
