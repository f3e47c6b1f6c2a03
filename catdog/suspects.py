"""python -m catdog.suspects: labels that may be wrong, and photos that are nearly the same."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig
from rich.table import Table
from rich.text import Text

from catdog.cli import arguments, console, hydra_app, typed
from catdog.core import paths
from catdog.settings import Head

if TYPE_CHECKING:
    from catdog.experiment.label_report import Inspection
    from catdog.settings import Settings

EPILOG = """\
key=value are catdog.train's; data, backbone and features matter.

  python -m catdog.suspects data=kaggle data.path=train.zip
  python -m catdog.suspects --split train data=kaggle data.path=train.zip
  python -m catdog.train data=kaggle data.path=train.zip data.drop=suspects.csv
"""


def main() -> None:
    """Run the command."""
    options, words = _parse(sys.argv[1:])
    sys.argv[1:] = words
    own = [f"--similarity={options.similarity}"] if options.similarity else []
    own += [f"--split={options.split}"] if options.split != "all" else []

    @hydra_app.with_one_message
    def task(cfg: DictConfig) -> None:
        _inspect(hydra_app.settings_of(cfg), options, typed.command(sys.argv[1:], "suspects", own))

    hydra_app.start(task, ("--similarity", "--split"))


def _parse(words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = arguments.parser(
        "suspects",
        "Estimate how many labels are wrong; list the likely ones, and near-duplicates.",
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


def _inspect(settings: Settings, options: argparse.Namespace, typed: str) -> None:
    from catdog.cli import inputs
    from catdog.core import runtime
    from catdog.core.memo import Memo
    from catdog.tracking import Tracker, names

    progress, tracking = console.Console(), settings.tracking
    # features averaged over each photo, whatever the head
    settings = dataclasses.replace(settings, head=Head(name="linear", pooling="avg"))
    manifest, weights = inputs.photos_and_weights(settings, progress)
    if options.split == "train":
        manifest = dataclasses.replace(manifest, photos=tuple(manifest.of("train")))
    progress.note("Opening the MLflow store ...")
    tracker = Tracker(uri=tracking.uri, experiment=tracking.experiment, root=paths.root())
    runtime.load_tensorflow(progress.note)
    from catdog.evaluation import label_errors
    from catdog.experiment import label_report, prefix
    from catdog.features import extraction

    tags = {names.KIND: "evaluation", names.COMMAND: typed}
    with tracker.recorded(f"suspects in {manifest.root.name}", tags) as run:
        root = paths.expanded(settings.features.dir)
        source = prefix.extractor(settings, weights, Memo())
        features = extraction.ensure(root, source, manifest.photos, progress=progress)
        ((store, rows),) = features.views
        found = label_report.inspect(
            manifest, store.read(rows).astype("float32"), seed=settings.seed,
            similarity=options.similarity or label_errors.SIMILARITY, progress=progress,
        )  # fmt: skip
        label_report.log(run, found, manifest, typed)
    print_suspects(found, run.local_artifacts(), tracker.how_to_browse(run.run_id))


def print_suspects(found: Inspection, folder: Path | None, browse: str, most: int = 10) -> None:
    """Print the first suspects and near-duplicates, and where all of them are written."""
    out = console.out()
    for sentence in found.sentences():
        out.print(sentence)
    table = Table("label", "suggested", "probability", "split", "photo", title_justify="left")
    table.title = f"{len(found.suspects)} labels doubted, likeliest errors first"
    for one in found.suspects[:most]:
        probability = f"{one.probability_of_suggested:.4f}"
        table.add_row(
            *map(console.text, (one.label, one.suggested, probability, one.split, one.path))
        )
    out.print(table)
    table = Table("cosine", "splits", "photos", title_justify="left")
    table.title = f"{len(found.duplicates)} near-duplicates, {found.straddling} across splits"
    for pair in found.duplicates[:most]:
        splits, both = f"{pair.first_split} {pair.second_split}", f"{pair.first}  {pair.second}"
        table.add_row(f"{pair.similarity:.3f}", splits, console.text(both))
    out.print(table)
    if folder:
        out.print(console.text(f"all of them, and pictures: {folder / 'suspects'}"))
    out.print(Text(browse), soft_wrap=True)


if __name__ == "__main__":
    main()
