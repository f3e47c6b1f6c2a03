"""python -m catdog.cache: list the cache folder; with ``prune``, remove some of it."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console as RichConsole
from rich.filesize import decimal
from rich.table import Table

from catdog.cli import arguments, console, hydra_app, pipes
from catdog.core import use_locks
from catdog.errors import CatdogError, ConfigError, shown
from catdog.settings import Features
from catdog.system import cache_contents, cache_removal
from catdog.system.cache_contents import Item

UNITS = {"h": 3600, "d": 86400, "w": 7 * 86400}
"""Seconds."""

PRUNE = """\
Nothing that a process uses is removed. What is removed is made again by the run that needs it
(weights by a download).
"""


def main() -> None:
    """Run the command."""
    options = _parse(sys.argv[1:])
    root = Path(options.dir).expanduser()
    try:
        with hydra_app.one_message(), pipes.may_close():
            if root.is_dir():
                _prune(root, options) if options.what else _list(root)
            elif options.dir == Features().dir:
                print(f"{root} is not there yet; the first run makes it")
            else:
                raise ConfigError("--dir", options.dir, "there is no such folder")
    except KeyboardInterrupt:
        hydra_app.exit_with("interrupted", 130)


def _parse(words: list[str]) -> argparse.Namespace:
    parser = arguments.parser("cache", "List what is in the cache folder.")
    default = Features().dir
    parser.add_argument("--dir", default=default, help="the cache (features.dir, %(default)s)")
    whats = parser.add_subparsers(dest="what", metavar="prune")
    prune = whats.add_parser("prune", help="remove some of it; prune --help", epilog=PRUNE)
    add = prune.add_argument
    add("--dir", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    which = prune.add_mutually_exclusive_group(required=True)
    which.add_argument("--all", action="store_true", help="whenever it was used")
    which.add_argument(
        "--older-than", type=_seconds, metavar="30d", help="not used for 30 days; 12h, 4w"
    )
    add("--kind", choices=cache_contents.KINDS, help="only these")
    add("--dry-run", action="store_true", help="only say what would be removed")
    add("--yes", action="store_true", help="do not ask")
    return parser.parse_args(words)


def _seconds(text: str) -> float:
    if found := re.fullmatch(r"(\d+)([hdw])", text):
        return int(found[1]) * UNITS[found[2]]
    raise argparse.ArgumentTypeError(f"{text!r} is no span of time: 12h, 30d or 4w")


def _list(root: Path) -> None:
    items = cache_contents.items(root)
    print_items(root, items, cache_contents.unknown(root, items))


def print_items(root: Path, items: Sequence[Item], others: Sequence[str]) -> None:
    """Print the entries of the cache, and the names of what is not catdog's there."""
    table = Table(box=None, pad_edge=False, show_footer=True)
    total = decimal(sum(item.size for item in items))
    table.add_column("kind", "total")
    table.add_column("what it is", overflow="fold")
    table.add_column("size", total, justify="right", no_wrap=True)
    table.add_column("last used", no_wrap=True)
    table.add_column("where", str(root), overflow="fold")
    for item in items:
        where = str(item.path.relative_to(root))
        row = (
            item.kind,
            item.about,
            decimal(item.size),
            cache_contents.age_text(item.used),
            where,
        )
        table.add_row(*map(console.text, row))
    out = RichConsole(width=None if sys.stdout.isatty() else 200, highlight=False)
    out.print(table)
    if others:
        out.print(console.text(f"not catdog's, never removed: {', '.join(others)}"))


def _prune(root: Path, options: argparse.Namespace) -> None:
    before = time.time() - (options.older_than or 0)
    chosen = [
        item for item in cache_contents.items(root)
        if (options.all or item.used < before) and options.kind in (None, item.kind)
    ]  # fmt: skip
    if not chosen:
        print("nothing to remove")
    elif options.dry_run:
        for item in chosen:
            print(f"would remove {_named(root, item)}")
        print(f"{_total(chosen)} would be removed")
    elif options.yes or _confirmed(root, chosen):
        _remove(root, chosen)
    if not options.dry_run:
        cache_removal.remove_leftovers(root)


def _confirmed(root: Path, chosen: list[Item]) -> bool:
    """Ask for confirmation; without a terminal that is an error."""
    if not sys.stdin.isatty():
        raise CatdogError(
            f"prune would remove {_total(chosen)} from {root} and cannot ask, since its input is "
            "no terminal; try `--yes`, or `--dry-run` to see what"
        )
    for item in chosen:
        print(f"  {_named(root, item)}")
    return input(f"Remove {_total(chosen)} from {root}? [y/N] ").strip().lower() in ("y", "yes")


def _remove(root: Path, chosen: list[Item]) -> None:
    removed, failed = [], 0
    for item in chosen:
        try:
            cache_removal.remove(root, item)
        except use_locks.InUse as reason:
            print(f"kept    {_named(root, item)}: {reason}")
        except FileNotFoundError:
            continue  # another process has removed it
        except OSError as error:
            failed += 1
            print(f"kept    {_named(root, item)}: {error.strerror}: {error.filename}")
        else:
            removed.append(item)
            print(f"removed {_named(root, item)}")
    print(f"{_total(removed)} removed")
    if failed:
        raise CatdogError(f"{failed} could not be removed; see who owns {root}")


def _named(root: Path, item: Item) -> str:
    return shown(f"{item.path.relative_to(root)} ({item.about}; {decimal(item.size)})")


def _total(some: list[Item]) -> str:
    things = f"{len(some)} thing{'' if len(some) == 1 else 's'}"
    return f"{things}, {decimal(sum(item.size for item in some))},"


if __name__ == "__main__":
    main()
