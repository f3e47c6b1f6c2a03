"""python -m catdog.evaluate: how good a trained model is on photos, and how sure that is."""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig
from rich.table import Table
from rich.text import Text

from catdog.cli import arguments, choices, console, hydra_app, overrides, typed
from catdog.core import paths
from catdog.errors import ConfigError, DataError, listed
from catdog.progress import Progress
from catdog.settings import Tracking
from catdog.tracking import names

if TYPE_CHECKING:
    import numpy as np

    from catdog.data.manifest import Manifest, Photo
    from catdog.evaluation.breakdown import ClassRow
    from catdog.settings import Settings
    from catdog.tracking.model_lookup import FoundModel

SPLITS = ("unseen", "all", "train", "val", "test")
"""Values of ``--split``."""

ROWS = 30
"""Most classes that have a row each on the screen."""

OWN = ("--model", "--split", "--data")
"""Options of the command, beside Hydra's."""

EPILOG = """\
key=value are catdog.train's. Without data=... the photos are those of the model's own run, with
its own evaluation.tta; unseen are all that it was neither trained nor chosen on.

  python -m catdog.evaluate --model best
  python -m catdog.evaluate --model models:/catdog@champion data=folder data.path=photos
  python -m catdog.evaluate --model 69f9ede4 evaluation.tta=flip
"""


@dataclass(frozen=True)
class Model:
    """A model and what its run knows.

    Attributes:
        name: The value of ``--model``.
        found: The model that it means.
        overrides: Overrides of its run; empty for a bare file.
        seen: Split by the SHA-256 of its run's photos; empty for a bare file.
    """

    name: str
    found: FoundModel
    overrides: Sequence[str] = ()
    seen: Mapping[str, str] = field(default_factory=dict)


def main() -> None:
    """Run the command."""
    options, words = _parse(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="catdog-") as scratch:
        with hydra_app.one_message():
            words = typed.as_meant(words)
            model = _model(options, overrides.named(words), Path(scratch))
        kept = kept_overrides(model.overrides, words)
        sys.argv[1:] = [*choices.still_used(kept, words), *words]
        file = Path(options.model)
        own = ["--model", str(file.absolute()) if file.is_file() else options.model]
        own += ["--data", options.data] if options.data is not None else []
        own += ["--split", options.split] if options.split != "unseen" else []
        command = typed.command(words, "evaluate", own)

        @hydra_app.with_one_message
        def task(cfg: DictConfig) -> None:
            _evaluate(hydra_app.settings_of(cfg), model, options.split, command)

        hydra_app.start(task, OWN)


def _parse(words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = arguments.parser(
        "evaluate",
        "Score a trained model, with 95 % confidence intervals.",
        EPILOG,
        usage="%(prog)s [--model NAME] [--data NAME] [--split SPLIT] [key=value ...]",
    )
    add = parser.add_argument
    add(OWN[0], default="best", help="as catdog.predict takes it (best)")
    add(OWN[1], choices=SPLITS, default="unseen", help="which photos (unseen)")
    add(OWN[2], metavar="NAME", help=arguments.DATA)
    return parser.parse_known_args(words)


def _model(options: argparse.Namespace, named: Mapping[str, str], scratch: Path) -> Model:
    console.Console().note("Looking for the model ...")
    from catdog import tracking
    from catdog.cli import stored
    from catdog.tracking import model_lookup, past_run

    name, uri = options.model, named.get("tracking.uri")
    experiment = named.get("tracking.experiment", Tracking().experiment)
    found = model_lookup.resolve(
        name, folder=scratch, uri=uri, experiment=experiment, data=options.data
    )
    if not found.run_id:
        return Model(name, found)
    run = tracking.open_store(uri, experiment).open(found.run_id)
    return Model(name, found, stored.of_run(run, named), past_run.splits(run))


def kept_overrides(given: Sequence[str], words: Sequence[str]) -> list[str]:
    """Return the overrides of the model's run that apply to its evaluation too.

    ``data.drop`` does not: the table may be about other photos, and the run's own manifest says
    which photos it has seen.

    Args:
        given: Overrides of the model's run.
        words: Overrides of the evaluation, which take precedence.

    Example:
        >>> kept_overrides(["optimizer.lr=0.01", "seed=1", "data.drop=suspects.csv"], ["seed=2"])
        ['optimizer.lr=0.01']
    """
    now = set(overrides.named(words))
    dropped = ["tracking", "hydra"] + (["data"] if "data" in now else [])
    return [
        word
        for word in given
        if (key := overrides.key_of(word)) not in now
        and key.split(".")[0] not in dropped
        and not key.startswith("data.drop")
    ]


def _evaluate(settings: Settings, model: Model, split: str, typed: str) -> None:
    from catdog.cli import inputs
    from catdog.core import runtime
    from catdog.tracking import Tracker

    progress, store, tta = console.Console(), settings.tracking, settings.evaluation.tta
    for line in model.found.notes:
        progress.note(line)
    manifest = inputs.photos(settings, progress, to_train=False)
    chosen = choose_photos(manifest, split, model, progress)
    classes = model.found.classes or manifest.classes
    photos, labels = labelled(chosen, manifest.classes, classes, progress)
    tracker = Tracker(uri=store.uri, experiment=store.experiment, root=paths.root())
    runtime.load_tensorflow(progress.note)
    from catdog.experiment import evaluation_report
    from catdog.inference import classifier

    loaded = classifier.load(model.found.path, classes)
    title = f"{model.found.title}, {split} photos of {settings.data.name}, tta {tta}"
    if left := len(chosen) - len(photos):
        title += f", without {left:,} of classes that the model does not know"
    with tracker.recorded(f"evaluation of {model.found.name}", _tags(model, typed)) as run:
        if model.found.run_id:
            run.uses_model_of(model.found.run_id)
        with progress.track("Predicting", len(photos)) as advance:
            probabilities = loaded.probabilities(
                photos, views=2 if tta == "flip" else 1,
                batch_size=settings.features.batch_size, advance=advance,
            )  # fmt: skip
        findings = evaluation_report.evaluate(probabilities, labels, loaded.classes, progress)
        evaluation_report.describe(run, settings, manifest, findings, title, typed)
        evaluation_report.log(run, findings, photos, loaded.classes, probabilities, labels)
    browse = tracker.how_to_browse(run.run_id)
    print_evaluation(title, findings.summary(), findings.classes, browse)


def choose_photos(manifest: Manifest, split: str, model: Model, progress: Progress) -> list[Photo]:
    """Return the photos to predict.

    Args:
        manifest: All photos.
        split: One of ``SPLITS``.
        model: The model, with the photos that it was trained, chosen and tested on.
        progress: Receives a note about photos that the model was trained or chosen on.

    Raises:
        DataError: there are none.
    """
    used = {sha256 for sha256, own in model.seen.items() if own != "test"}
    of_split = manifest.photos if split in ("unseen", "all") else manifest.of(split)
    unseen = [photo for photo in of_split if photo.sha256 not in used]
    photos = unseen if split == "unseen" else list(of_split)
    known = len(of_split) - len(unseen)
    if not model.seen:
        progress.note("It is unknown which photos this file was trained on: some may be these")
    elif known:
        verb = "left out" if split == "unseen" else "are too easy"
        progress.note(f"{known} photos {verb}: the model was trained or chosen on them")
    if not photos:
        raise DataError(
            manifest.root, f"there is no {split} photo in it",
            "Name other photos with data.path=..., or --split all",
        )  # fmt: skip
    return photos


def labelled(
    photos: Sequence[Photo], names: Sequence[str], classes: Sequence[str], progress: Progress
) -> tuple[list[Photo], np.ndarray]:
    """Return the photos of the model's classes, and their labels in the model's order.

    Args:
        photos: The photos.
        names: Classes in the order of the photos' labels.
        classes: Classes in the model's order; one may be written in other letters' case.
        progress: Receives a note about classes that are taken for others, and of photos that are
            left out.

    Returns:
        k photos, and (k,) int labels.

    Raises:
        ConfigError: no photo is of a class of the model.
    """
    import numpy as np

    from catdog.data import spelling

    there = Counter(names[photo.label] for photo in photos)
    known = spelling.match(names, classes)
    for name in sorted(there):
        if name not in known:
            progress.note(f"Left out {there[name]:,} photos of {name}: no class of the model")
        elif spelling.composed(name) != spelling.composed(known[name]):
            progress.note(f"{name} is taken for the model's class {known[name]}")
    found = [photo for photo in photos if names[photo.label] in known]
    if not found:
        raise ConfigError(
            "data.classes", listed(sorted(there)), f"the model only tells {listed(classes)} apart"
        )
    return found, np.array([classes.index(known[names[photo.label]]) for photo in found])


def _tags(model: Model, typed: str) -> dict[str, str]:
    known = {
        names.KIND: "evaluation",
        names.COMMAND: typed,
        names.MODEL: model.name,
        names.MODEL_RUN: model.found.run_id,
    }
    return {key: value for key, value in known.items() if value}


def print_evaluation(
    title: str, figures: Mapping[str, str], classes: Sequence[ClassRow], browse: str
) -> None:
    """Print what an evaluation found: metrics, a row for each class, where to see more."""
    out = console.out()
    # as a table's title it would be wrapped to the table's width
    out.print(console.text(title), soft_wrap=True)
    table = Table(show_header=False)
    for name, value in figures.items():
        table.add_row(name, value)
    out.print(table)
    out.print(_table(classes))
    if len(classes) > ROWS:
        out.print(
            f"the {ROWS} of least recall; all {len(classes)} classes: evaluation/classes.csv"
        )
    out.print(Text(browse), soft_wrap=True)


def _table(classes: Sequence[ClassRow]) -> Table:
    """Return a row for each class; of many classes, for those of least recall."""
    from catdog.evaluation.metrics import shown

    table = Table("class", "photos", "precision", "recall", "95 % interval", "F1")
    rows = list(classes)
    if len(rows) > ROWS:
        rows = sorted(rows, key=lambda row: math.inf if row.recall is None else row.recall)[:ROWS]
    for row in rows:
        interval = "" if row.recall is None else f"{shown(row.low)} to {shown(row.high)}"
        table.add_row(
            console.text(row.name), f"{row.photos:,}", shown(row.precision), shown(row.recall),
            interval, shown(row.f1),
        )  # fmt: skip
    return table


if __name__ == "__main__":
    main()
