"""python -m catdog.repeat: a run again, and whether its figures are the same to the last bit."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from rich.table import Table

from catdog.cli import arguments, choices, console, hydra_app
from catdog.cli.overrides import key_of
from catdog.core import commands, paths
from catdog.errors import CatdogError, ConfigError, listed
from catdog.settings import Tracking
from catdog.tracking import names

if TYPE_CHECKING:
    from catdog.experiment import Outcome
    from catdog.tracking import Tracker
    from catdog.tracking.compare import Difference, Facts, Reason
    from catdog.tracking.past_run import StoredRun

DIFFERENT = 4
"""Exit code when some figures are not the same."""

EPILOG = """\
What is named after RUN replaces the run's own choice: data.path=<where the photos are now>.
Times and load (time/*, system/*) are not compared; of a pruned trial, only the epochs it had.

exit code:
  0 all figures are the same   4 some differ   1 error   2 wrong usage
"""


@dataclass(frozen=True)
class Original:
    """A run that can be repeated.

    Attributes:
        run_id: MLflow's id.
        tracker: Its MLflow store and experiment.
        overrides: Its overrides.
        facts: What the repeat is compared with.
    """

    run_id: str
    tracker: Tracker
    overrides: Sequence[str]
    facts: Facts


def main() -> NoReturn:
    """Run the command."""
    options = _options()
    try:
        console.Console().note("Looking for the run ...")
        named = {key_of(word) for word in options.overrides}
        with hydra_app.disks_told():
            original = find(options.run, options.uri, options.experiment, named)
    except CatdogError as error:
        if hydra_app.VERBOSE:
            raise
        hydra_app.exit_with(hydra_app.with_option_names(error), 1)
    kept = choices.still_used(original.overrides, options.overrides)
    words = changed(kept, options.overrides)
    console.Console().note(f"repeating {original.run_id[:8]}: {commands.command(*words)}")
    sys.argv[1:] = words
    again = _run(original)
    sys.exit(DIFFERENT if _report(original, again.run_id) else 0)


def _options() -> argparse.Namespace:
    parser = arguments.parser("repeat", "Run a run again and compare its figures.", EPILOG)
    add = parser.add_argument
    add(
        "run",
        metavar="RUN",
        help="id of a run or trial, a prefix of one, or a name of a run or study",
    )
    add("overrides", nargs="*", metavar="KEY=VALUE", help="what is different this time")
    add("--uri", help="MLflow store (MLFLOW_TRACKING_URI, else the project's own)")
    add("--experiment", default=Tracking().experiment, help="where prefixes are looked for")
    return parser.parse_intermixed_args()


def find(run: str, uri: str | None, experiment: str, besides: Collection[str] = ()) -> Original:
    """Return the run with an id or a unique prefix of one.

    Args:
        run: The id, of a run in any experiment, or a prefix of at least 4 characters.
        uri: MLflow's tracking URI; None means the one that a training without it would use.
        experiment: Experiment in which prefixes are looked for.
        besides: Keys that the command line names: what the run says of them is left out.

    Raises:
        ConfigError: there is no such run, or no command repeats it.
        DataError: its overrides hold what a store may not say.
    """
    from catdog.tracking import open_store
    from catdog.tracking.store import MlflowException

    store = open_store(uri, experiment)
    try:
        known = store.get(run) if re.fullmatch("[0-9a-f]{32}", run) else None
        return _original(store, known or _with_prefix(run, store), besides)
    except MlflowException as error:
        reason = str(error).splitlines()[0][:300]
        raise ConfigError("RUN", run, f"{store.shown_uri} answers: {reason}") from None


def _with_prefix(prefix: str, store: Tracker) -> StoredRun:
    """Return the only run that a name or a prefix of an id means; of a study its best trial."""
    from catdog.tracking import run_lookup

    ids = list(run_lookup.meant(prefix, store).values())
    known = store.get(ids[0]) if len(ids) == 1 else None
    if known is not None and known.tags.get(names.KIND) == "sweep":  # named as a study
        known = store.get(known.tags.get(names.BEST_RUN, "")) or known
    if known is not None:
        return known
    where = f"experiment {store.experiment} of {store.shown_uri}"
    if ids:
        found = f"{len(ids)} runs of {where} start so: {listed(ids)}"
        raise ConfigError("RUN", prefix, found, f"python -m catdog.repeat {ids[0]}")
    least = run_lookup.MIN_PREFIX
    found = f"no run has this id, or this prefix (at least {least} characters); looked in {where}"
    near = run_lookup.nearest(prefix, store)
    found += f"; the nearest: {listed(near)}" if near else ""
    words = ("catdog.repeat", near[0]) if near else ("catdog.ui",)
    fix = commands.command("python", "-m", *words)
    raise ConfigError("RUN", prefix, found, fix)


def _original(store: Tracker, known: StoredRun, besides: Collection[str]) -> Original:
    """Read what a repeat needs of the original run."""
    from catdog.cli import stored
    from catdog.tracking import Tracker, compare

    _check(known)
    words = stored.of_run(store.open(known.run_id), besides)
    facts = compare.read(store, known.run_id)
    if not facts.figures:
        found = "it has logged no figures, so there is nothing to compare"
        raise ConfigError("RUN", known.run_id, found, "python -m catdog.ui")
    experiment_id = store.client.get_run(known.run_id).info.experiment_id
    name = store.client.get_experiment(experiment_id).name
    tracker = Tracker(uri=store.uri, experiment=name, root=paths.root())
    return Original(known.run_id, tracker, words, facts)


def _check(known: StoredRun) -> None:
    """Refuse a run that no command repeats."""
    kind, fix = known.tags.get(names.KIND), ""
    if known.deleted:
        found = "this run was deleted"
    elif kind == "sweep":
        found = "this is a whole sweep; repeat one of its trials"
        best = commands.override("+best", known.tags.get(names.STUDY))
        fix = commands.command("python", "-m", "catdog.train", best)
    elif kind not in ("run", "trial"):
        found = f"no training of catdog's (catdog.kind={kind})"
    elif names.HYDRA_DIR not in known.tags:  # the settings of a notebook are not overrides
        found = "it was not started by a command, so none repeats it"
    else:
        return
    raise ConfigError("RUN", known.run_id, found, fix)


def changed(words: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return overrides with some replaced, since Hydra accepts no group twice.

    Args:
        words: Overrides.
        others: Overrides that replace those of the same keys, or are added.

    Example:
        >>> changed(["head=mlp", "seed=1"], ["seed=2"])
        ['head=mlp', 'seed=2']
    """
    named = {key_of(word) for word in others}
    return [*(word for word in words if key_of(word) not in named), *others]


def _run(original: Original) -> Outcome:
    """Run the overrides in ``sys.argv``, as ``python -m catdog.train`` does."""
    from catdog import train

    done: list[Outcome] = []

    @hydra_app.with_one_message
    def task(cfg: Any) -> None:
        done.append(train.run(cfg, original.tracker, tags={names.REPEATS: original.run_id}))

    hydra_app.start(task)
    return done[0]


def _report(original: Original, again: str) -> bool:
    """Print the comparison with the original; return whether any figure differs."""
    from catdog.tracking import compare

    then, now = original.facts, compare.read(original.tracker, again)
    differing = compare.differences(then, now)
    title, figures = (
        f"{again[:8]} repeats {original.run_id[:8]}",
        len(compare.keys_to_compare(then, now)),
    )
    print_comparison(title, figures, differing, compare.reasons(then, now))
    return bool(differing)


SHOWN_REASONS = 15
"""Largest number of reasons in the table."""


def print_comparison(
    title: str, figures: int, differing: Sequence[Difference], reasons: Sequence[Reason]
) -> None:
    """Print which figures of a repeat differ, and what may be the reason."""
    out, others = console.out(), sum(d.differing for d in differing)
    summary = f"{title}: {figures - others} of {figures} figures are the same to the last bit"
    out.print(console.text(summary), soft_wrap=True)
    if not differing:
        return
    table = Table("metric", "differ", "first at step", "then", "now", "at most by")
    for one in differing:
        apart = "missing" if math.isnan(one.largest) else f"{one.largest:.1e}"
        points = f"{one.differing} of {one.points}"
        table.add_row(
            console.text(one.metric), points, str(one.step), repr(one.then), repr(one.now), apart
        )
    out.print(table)
    if not reasons:
        out.print("Code, photos, weights, settings, packages, machine and threads are the same.")
        return
    table = Table("what may be why", "then", "now")
    for reason in reasons[:SHOWN_REASONS]:
        table.add_row(*map(console.text, (reason.what, reason.then, reason.now)))
    out.print(table)
    if len(reasons) > SHOWN_REASONS:
        more = len(reasons) - SHOWN_REASONS
        out.print(f"and {more} more packages and settings", markup=False)


if __name__ == "__main__":
    main()
