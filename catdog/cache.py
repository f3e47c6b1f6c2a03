"""python -m catdog.cache: what lies in the cache folder; with ``prune``, remove some of it."""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

from catdog import command, shelf
from catdog.errors import CatdogError, ConfigError
from catdog.settings import Features
from catdog.shelf import Item

UNITS = {"h": 3600, "d": 86400, "w": 7 * 86400}

PRUNE = """\
Nothing is removed that a process works with; what is, is made again by the run that needs it
(weights by a download).
"""


def main() -> None:
    """Run the command."""
    asked = _parse(sys.argv[1:])
    root = Path(asked.dir).expanduser()
    try:
        with command.one_message():
            if root.is_dir():
                _prune(root, asked) if asked.what else _list(root)
            elif asked.dir == Features().dir:
                print(f"{root} is not there yet; the first run makes it")
            else:
                raise ConfigError("--dir", asked.dir, "there is no such folder")
    except KeyboardInterrupt:
        command.leave("interrupted", 130)


def _parse(words: list[str]) -> argparse.Namespace:
    name = sys.argv[0] if sys.argv[0].startswith("catdog ") else "python -m catdog.cache"
    parser = argparse.ArgumentParser(prog=name, description="List what lies in the cache folder.")
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
    add("--kind", choices=shelf.KINDS, help="only these")
    add("--dry-run", action="store_true", help="only say what would be removed")
    add("--yes", action="store_true", help="do not ask")
    return parser.parse_args(words)


def _seconds(text: str) -> float:
    if found := re.fullmatch(r"(\d+)([hdw])", text):
        return int(found[1]) * UNITS[found[2]]
    raise argparse.ArgumentTypeError(f"{text!r} is no span of time: 12h, 30d or 4w")


def _list(root: Path) -> None:
    from catdog import console

    items = shelf.items(root)
    console.list_cache(root, items, shelf.others(root, items))


def _prune(root: Path, asked: argparse.Namespace) -> None:
    before = time.time() - (asked.older_than or 0)
    chosen = [
        item for item in shelf.items(root)
        if (asked.all or item.used < before) and asked.kind in (None, item.kind)
    ]  # fmt: skip
    if not chosen:
        print("nothing to remove")
    elif asked.dry_run:
        for item in chosen:
            print(f"would remove {_named(root, item)}")
        print(f"{_total(chosen)} would be removed")
    elif asked.yes or _confirmed(root, chosen):
        _remove(root, chosen)
    if not asked.dry_run:
        shelf.sweep_up(root)


def _confirmed(root: Path, chosen: list[Item]) -> bool:
    """Ask; a script is to say --yes."""
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
            shelf.remove(root, item)
        except shelf.InUse as reason:
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
    return f"{item.path.relative_to(root)} ({item.about}; {shelf.bytes_text(item.size)})"


def _total(some: list[Item]) -> str:
    things = f"{len(some)} thing{'' if len(some) == 1 else 's'}"
    return f"{things}, {shelf.bytes_text(sum(item.size for item in some))},"


if __name__ == "__main__":
    main()
