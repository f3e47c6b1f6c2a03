"""python -m catdog.promote: register a model, and make it the champion if it beats the present."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich.table import Table

from catdog.cli import arguments, console, hydra_app
from catdog.errors import CatdogError, shown
from catdog.settings import Tracking

if TYPE_CHECKING:
    from catdog.study.retrain import RetrainResult
    from catdog.tracking import Tracker
    from catdog.tracking.champion import Verdict
    from catdog.tracking.model_lookup import FoundModel
    from catdog.tracking.registry import Registry

NOT_CHAMPION = 4
"""Exit code when the model was registered but has not become the champion."""

EPILOG = """\
The alias champion moves only if the model is better on the test photos that both were tested on,
by more than chance (McNemar's test, 5 %); the old champion keeps the alias previous. Use it with
--model models:/catdog@champion.

  python -m catdog.promote --study lr_dropout --dry-run
  python -m catdog.promote --study lr_dropout --retrain 3
  python -m catdog.promote --run 69f9ede4

exit code:
  0 it is the champion   4 it is not   1 error   2 wrong usage
"""


def main() -> NoReturn:
    """Run the command."""
    options = _options()
    try:
        with hydra_app.disks_told():
            promoted = _promote(options)
    except KeyboardInterrupt:
        hydra_app.exit_with("interrupted", 130)
    except CatdogError as error:
        if hydra_app.VERBOSE:
            raise
        hydra_app.exit_with(hydra_app.with_option_names(error), 1)
    sys.exit(0 if promoted else NOT_CHAMPION)


def _options() -> argparse.Namespace:
    parser = arguments.parser(
        "promote", "Register a model; make it the champion if it beats the present one.", EPILOG
    )
    which, add = parser.add_mutually_exclusive_group(), parser.add_argument
    which.add_argument("--study", metavar="NAME", help="its winner")
    about = "this run, by id or name (else the experiment's best)"
    which.add_argument("--run", metavar="NAME", help=about)
    add("--data", metavar="NAME", help=arguments.DATA)
    about = "train the study's K best trials on several seeds first; decide on the mean"
    add("--retrain", type=int, default=0, metavar="K", help=about)
    add("--seeds", type=int, default=3, metavar="N", help="seeds of --retrain (3)")
    add("--name", default="catdog", help="of the registered model (catdog)")
    add("--force", action="store_true", help="make it the champion anyway")
    add("--dry-run", action="store_true", help="only say what would be done")
    add("--uri", help="MLflow store (MLFLOW_TRACKING_URI, else the project's own)")
    add("--experiment", default=Tracking().experiment, help="where runs are looked for (catdog)")
    options = parser.parse_args()
    if options.data is not None and (options.study or options.run):
        parser.error("--data is about the experiment's best run: not with --study or --run")
    if options.retrain and not options.study:
        parser.error("--retrain needs --study")
    if options.retrain < 0 or options.seeds < 1:
        parser.error("--retrain needs K >= 0, --seeds N >= 1")
    return options


def _promote(options: argparse.Namespace) -> bool:
    """Do what the options say; return whether the model is the champion then."""
    say = console.Console().note
    say("Looking for the model ...")
    from catdog import tracking
    from catdog.tracking.registry import CHAMPION, Registry

    tracker = tracking.open_store(options.uri, options.experiment)
    registry = Registry(tracker, options.name)
    name, repeats = options.study or options.run or "best", ""
    if options.retrain:
        from catdog.study import retrain

        best = retrain.best_of(name, tracker, options.retrain, options.seeds, options.dry_run)
        if best is None:
            return False
        print_retrained(best)
        name, repeats = best.run_id, means(best)
    candidate = _find(name, options)
    champion = registry.version_of(CHAMPION)
    say(f"candidate: {candidate.title}")
    for line in candidate.notes:
        say(line)
    if champion and champion.run_id == candidate.run_id:
        say(f"it is the champion already: models:/{options.name}@{CHAMPION}")
        return True
    verdict = _verdict(candidate.run_id, champion.run_id if champion else "", tracker)
    say(f"champion: {f'version {champion.number}' if champion else 'none yet'}; {verdict.why}")
    wins = verdict.wins or options.force
    if options.dry_run:
        say(f"it would be registered{' and become the champion' if wins else ''}; nothing is done")
        return wins
    number = champion.number if champion else ""
    why = reason(verdict, number, forced=options.force and not verdict.wins)
    return _register(candidate, registry, tracker, f"{why}{repeats}", promoted=wins)


def reason(verdict: Verdict, champion: str, *, forced: bool = False) -> str:
    """Return the sentence that says on MLflow's page why a version is champion, or is not.

    Args:
        verdict: The comparison with the champion.
        champion: The number of the version that was champion; empty without any.
        forced: Whether it becomes champion although it is not better.

    >>> from catdog.tracking.champion import Verdict
    >>> reason(Verdict(True, "better, of 600 test photos ..., the champion alone 1"), "2")
    'Champion in place of version 2: better, of 600 test photos ..., version 2 alone 1.'
    """
    place = f" in place of version {champion}" if champion else ""
    # on the page of a later day "the champion" would be another version
    why = verdict.why.replace("the champion", f"version {champion}") if champion else verdict.why
    start = f"Champion{place}" if verdict.wins or forced else f"Not champion{place}"
    return f"{start}{' by --force' * forced}: {why}."


def means(found: RetrainResult) -> str:
    """Return the sentence that says how good the chosen settings are over the seeds."""
    one, metric = found.settings, found.metric
    spread = f"{metric} {one.mean:.4f}, standard deviation {one.spread:.4f}"
    return f" Its settings, those of trial {one.trial}, on {len(one.values)} seeds: mean {spread}."


def print_retrained(found: RetrainResult) -> None:
    """Print the mean of each trial's settings over the seeds."""
    table = Table("trial", "as a trial", f"mean {found.metric}", "sd", "seeds")
    for one in found.again:
        values = "  ".join(f"{value:.4f}" for value in one.values)
        row = (f"{one.before:.4f}", f"{one.mean:.4f}", f"{one.spread:.4f}", values)
        table.add_row(console.text(one.trial), *row, style="bold" if one is found.settings else "")
    console.out().print(table)


def _find(name: str, options: argparse.Namespace) -> FoundModel:
    from catdog.tracking import model_lookup

    with tempfile.TemporaryDirectory(prefix="catdog-") as scratch:
        return model_lookup.resolve(
            name, folder=Path(scratch), uri=options.uri, experiment=options.experiment,
            data=options.data, option="--study" if options.study else "--run",
        )  # fmt: skip


def _verdict(run_id: str, champion: str, tracker: Tracker) -> Verdict:
    from catdog.tracking import past_run
    from catdog.tracking.champion import Verdict, judge

    if not champion:
        return Verdict(True, "the first model needs to beat nobody")
    return judge(
        past_run.test_predictions(tracker.open(run_id)),
        past_run.test_predictions(tracker.open(champion)),
    )


def _register(
    model: FoundModel, registry: Registry, tracker: Tracker, why: str, *, promoted: bool
) -> bool:
    from catdog.tracking import logged_model

    run = tracker.open(model.run_id)
    model_id = run.model_id()
    if not model_id:  # trials do not log one
        logged_model.log_from_artifacts(run, model.classes)
        model_id = run.model_id()
    version = registry.register(model.run_id, model_id)
    title = shown(model.title).replace("`", "'")  # as code: names of runs are no Markdown
    sentence = f"{why} It is `{title}`."
    registry.describe(version, sentence)
    if promoted:
        registry.promote(version)
        registry.introduce(version, sentence)
    alias = "champion" if promoted else "no alias"
    print_version(registry.name, version.number, alias)
    return promoted


def print_version(name: str, version: str, alias: str) -> None:
    """Print the version's number, its alias, and the name to use it by."""
    use = f"models:/{name}@{alias}" if alias == "champion" else f"models:/{name}/{version}"
    told = console.text(f"version {version} of {name}, {alias}: {use}")
    console.out().print(told, soft_wrap=True)


if __name__ == "__main__":
    main()
