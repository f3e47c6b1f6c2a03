"""The searches in sweeps/: what the head of each file says of it."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

HEADINGS = ("question", "budget", "found")


@dataclass(frozen=True)
class Search:
    """What the head of a search's file says of it."""

    name: str
    question: str
    budget: str
    found: str


def searches(folder: Path) -> list[Search]:
    """Read every search in a folder, by name."""
    return [_read(path) for path in sorted(folder.glob("*.yaml"))]


def unknown_message(name: str, names: list[str]) -> str:
    """Say that there is no such search, and which one was probably meant."""
    if "=" in name or name.startswith("-"):
        return f"the name of a search comes first, before {name}: one of {', '.join(names)}"
    near = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean {near[0]}?" if near else "."
    return f"there is no search {name!r}{hint} There are: {', '.join(names)}"


def _read(path: Path) -> Search:
    text = path.read_text(encoding="utf-8")
    said, heading = dict.fromkeys(HEADINGS, ""), ""
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        words = line.lstrip("# ")
        start = re.match(rf"({'|'.join(HEADINGS)}): *", words)
        if start:
            heading, words = start.group(1), words[start.end() :]
        if heading:
            said[heading] = f"{said[heading]} {words}".strip()
    return Search(path.stem, **said)
