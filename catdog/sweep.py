"""python -m catdog.sweep: the searches in sweeps/; with a name, run one.

``python -m catdog.sweep NAME key=value ...`` is ``python -m catdog.train --config-dir sweeps
--config-name NAME key=value ...``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console as RichConsole
from rich.table import Table
from rich.text import Text

from catdog.cli import closed_pipe, console, hydra_app
from catdog.cli.main import VERSION, version
from catdog.core import paths
from catdog.errors import shown
from catdog.study import catalog

if TYPE_CHECKING:
    from catdog.study.catalog import Search


def main() -> None:
    """Print the searches, or run one."""
    closed_pipe.end_quietly()
    words, folder = sys.argv[1:], paths.sweeps()
    known = catalog.searches(folder)
    if not words or words[0] in ("-h", "--help"):
        print_searches(known)
        return
    if words[0] in VERSION:
        print(version())
        return
    name, *rest = words
    names = [search.name for search in known]
    if name not in names:
        hydra_app.exit_with(catalog.unknown_message(name, names), 1)
    if not any(word.startswith("-") for word in rest):  # no --cfg, --info or --help
        console.Console().note(f"Preparing the search {name} ...")
    sys.argv = [sys.argv[0], "--config-dir", str(folder), "--config-name", name, *rest]
    from catdog import train

    train.main()


def print_searches(searches: Sequence[Search]) -> None:
    """Print the searches that can be run, and how."""
    table = Table(show_lines=True, show_header=False)
    table.add_column("search", no_wrap=True, style="bold")
    table.add_column("about", overflow="fold")
    for search in searches:
        about = [
            search.question,
            f"budget: {search.budget}",
            f"found: {search.found or 'nothing yet'}",
        ]
        table.add_row(console.text(search.name), Text("\n".join(map(shown, about))))
    out = RichConsole(highlight=False)
    out.print(table)
    out.print("python -m catdog.sweep NAME key=value ...", markup=False)


if __name__ == "__main__":
    main()
