"""The pages of README, docs/ and the sweeper's manual: their code blocks, headings and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
ABOVE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
PAGES = [
    *(ROOT / name for name in ABOVE),
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts),
    ROOT / "plugins" / "hydra_optuna_workers" / "README.md",
]


class Block(NamedTuple):
    """Code on a page; ``language`` is empty where it is only indented."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """Where it stands, as an editor finds it."""
        return f"{self.page}:{self.line}"


def blocks(path: Path) -> Iterator[Block]:
    """Yield the fenced and the indented blocks of a page."""
    page, lines = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8").splitlines()
    start, language, held = 0, None, []
    for number, line in enumerate([*lines, ""], 1):
        fence = re.match(r"```(.*)", line)
        if language is not None and fence:
            yield Block(page, start, language, "\n".join(held))
            language, held = None, []
        elif fence:
            start, language, held = number, fence[1].strip(), []
        elif language is not None:
            held.append(line)
        elif line.startswith("    ") and (held or not lines[number - 2].strip()):
            start = start if held else number
            held.append(line[4:])
        elif held and line.strip():
            yield Block(page, start, "", "\n".join(held))
            held = []
        elif held:
            held.append("")
    if held:
        yield Block(page, start, "", "\n".join(held))


def prose(path: Path) -> str:
    """Return a page without its code."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`\n]+`", "``", re.sub(r"^    .*", "", text, flags=re.M))


def anchors(path: Path) -> set[str]:
    """Return what can follow a ``#`` in a link to a page, as GitHub and MyST make it."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ +(.+?)\s*$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
