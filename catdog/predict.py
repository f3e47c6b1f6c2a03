"""python -m catdog.predict: classify photos, folders and zips with a trained model."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

from catdog.cli import arguments, console, hydra_app
from catdog.core import paths, runtime, tables
from catdog.core.files import arriving
from catdog.errors import CatdogError, DataError, shown
from catdog.inference.files import find
from catdog.inference.writers import FORMATS
from catdog.progress import Advance, Progress
from catdog.settings import Tracking

if TYPE_CHECKING:
    import numpy as np

    from catdog.inference.classifier import Classifier
    from catdog.inference.gradcam import Overlays
    from catdog.tracking.model_lookup import FoundModel

SKIPPED = 3
"""Exit code when some files were no photos."""

EPILOG = """\
models:
  best                      the best run on the latest run's photos, by its objective
  69f9ede4                  a run, by its name, its id or a unique prefix of one
  lr_dropout-ce32ebd5       the winner of a study, by its name or a unique prefix
  models:/catdog@champion   a model of MLflow's registry; also models:/catdog/3, catdog
  best.keras                a file; class names from --classes or a classes.json beside it

exit code:
  0 all photos were read   3 some were skipped, each listed on stderr   1 error   2 wrong usage
"""


def main() -> NoReturn:
    """Run the command."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same clean end as Ctrl-C
    try:
        with hydra_app.disks_told():
            skipped = _run(options)
    except KeyboardInterrupt:
        hydra_app.exit_with("interrupted", 130)
    except (CatdogError, OSError) as error:  # such as a full disk
        if hydra_app.VERBOSE:
            raise
        hydra_app.exit_with(hydra_app.with_option_names(error), 1)
    sys.exit(SKIPPED if skipped else 0)


def _options() -> argparse.Namespace:
    parser = arguments.parser("predict", "Classify photos with a trained model.", EPILOG)
    add = parser.add_argument
    add("photos", nargs="+", metavar="PHOTO|FOLDER|ZIP", help="what to classify")
    add("--model", default="best", help="see below (best)")
    add("--data", metavar="NAME", help=arguments.DATA)
    add("--format", choices=FORMATS, help="of the output (by the ending of --out, else table)")
    add("--out", type=paths.expanded, metavar="FILE", help="write the output there, not to stdout")
    add("--tta", choices=("none", "flip"), help="flip: mean with the mirror image (the run's own)")
    add("--explain", type=paths.expanded, metavar="DIR", help="write there where the model looked")
    add("--classes", metavar="A,B", help="names of the model's classes, in its order")
    add("--uri", help="MLflow store (MLFLOW_TRACKING_URI, else the project's own)")
    add("--experiment", default=Tracking().experiment, help="where runs are looked for (catdog)")
    add("--batch-size", type=_positive, default=64, metavar="N", help="photos at once (64)")
    return parser.parse_args()


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("expected at least 1")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    """Answer, and return how many files were skipped."""
    screen = console.Console()
    files = find(options.photos, screen)
    with ExitStack() as stack:
        out = stack.enter_context(_output(options.out))
        _require_folder(options.explain)
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="catdog-")))
        found, model = _load(options, scratch, screen)
        tta = options.tta or found.tta
        screen.note(f"model: {found.title}" + (f", tta {tta}" if tta != "none" else ""))
        for line in found.notes:
            screen.note(line)
        few = len(files) <= shutil.get_terminal_size().lines
        bar = Progress() if few or out.isatty() else screen  # no bar between rows in a terminal
        advance = stack.enter_context(bar.track("Predicting", len(files)))
        work = _Work(model, options, scratch, screen, advance)
        predictions = work.predictions(files, views=2 if tta == "flip" else 1)
        write = FORMATS[options.format or _by_ending(options.out)]
        write(out, model.classes, predictions, max(tables.width(shown(name)) for _, name in files))
        out.flush()
    if work.skipped:
        screen.note(f"{work.skipped} of {len(files)} files were skipped")
    return work.skipped


def _require_folder(folder: Path | None) -> None:
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(folder, f"cannot be made ({error.strerror})") from None


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    """Yield where predictions are written; a file appears only when it is complete."""
    if path is None:
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        yield sys.stdout
        return
    with ExitStack() as arrival:
        try:
            partial = arrival.enter_context(arriving(path))
            opened = partial.open("w", encoding="utf-8", errors="backslashreplace", newline="")
            file = arrival.enter_context(opened)
        except OSError as error:
            raise DataError(path, f"cannot be written ({error.strerror})") from None
        yield file


def _by_ending(path: Path | None) -> str:
    ending = path.suffix.lower().removeprefix(".") if path else ""
    return ending if ending in FORMATS else "table"


def _load(
    options: argparse.Namespace, scratch: Path, screen: Progress
) -> tuple[FoundModel, Classifier]:
    screen.note("Looking for the model ...")
    from catdog.tracking import model_lookup

    found = model_lookup.resolve(
        options.model, folder=scratch, uri=options.uri, experiment=options.experiment,
        data=options.data,
    )  # fmt: skip
    runtime.configure(None)
    runtime.load_tensorflow(screen.note)
    from catdog.inference import classifier

    given = options.classes.split(",") if options.classes else found.classes
    return found, classifier.load(found.path, given)


def _overlays(folder: Path, model: Classifier) -> Overlays:
    from catdog.inference.gradcam import Overlays

    return Overlays(folder, model)


class _Work:
    """Makes rows of files, and overlays where ``--explain`` asks for them."""

    def __init__(
        self,
        model: Classifier,
        options: argparse.Namespace,
        scratch: Path,
        screen: Progress,
        advance: Advance,
    ) -> None:
        self._model, self._scratch, self._batch_size = model, scratch, options.batch_size
        self._screen, self._advance, self.skipped = screen, advance, 0
        self._overlays = _overlays(options.explain, model) if options.explain else None

    def predictions(
        self, files: Sequence[tuple[str, str]], *, views: int
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the name of each good photo and its probabilities."""
        for photos, values in self._model.predictions(
            files, views=views, batch_size=self._batch_size, scratch=self._scratch,
            on_bad=self._skip,
        ):  # fmt: skip
            if self._overlays:
                self._overlays.write(photos, values)
            yield from zip((photo.path for photo in photos), values, strict=True)
            self._advance(len(photos))

    def _skip(self, name: str, problem: str) -> None:
        self.skipped += 1
        self._screen.note(f"skipped {shown(name)}: {shown(problem)}")
        self._advance(1)


if __name__ == "__main__":
    main()
