"""The searches in sweeps/, as the comments at the top of each file describe them."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

HEADINGS = ("question", "budget", "found")
"""Words that start a comment at the top of a search's file."""


@dataclass(frozen=True)
class Search:
    """A search and its description.

    Attributes:
        name: Name of its file, without ``.yaml``.
        question: What the search is to find out.
        budget: What it costs.
        found: What it has found; empty if it has not run yet.
    """

    name: str
    question: str
    budget: str
    found: str


def searches(folder: Path) -> list[Search]:
    """Return the searches in a folder, in the order of their names."""
    return [_read(path) for path in sorted(folder.glob("*.yaml"))]


def unknown_message(name: str, names: list[str]) -> str:
    """Return the message for the name of a search that does not exist.

    Args:
        name: What was given as the name of a search.
        names: Names of all searches.

    Example:
        >>> unknown_message("lr_droput", ["heads", "lr_dropout"])
        "there is no search 'lr_droput'; did you mean lr_dropout? There are: heads, lr_dropout"
    """
    if "=" in name or name.startswith("-"):
        return f"the name of a search comes first, before {name}: one of {', '.join(names)}"
    near = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean {near[0]}?" if near else "."
    return f"there is no search {name!r}{hint} There are: {', '.join(names)}"


def _read(path: Path) -> Search:
    text = path.read_text(encoding="utf-8")
    texts, heading = dict.fromkeys(HEADINGS, ""), ""
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        words = line.lstrip("# ")
        start = re.match(rf"({'|'.join(HEADINGS)}): *", words)
        if start:
            heading, words = start.group(1), words[start.end() :]
        if heading:
            texts[heading] = f"{texts[heading]} {words}".strip()
    return Search(path.stem, **texts)
