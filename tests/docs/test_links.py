"""README is short, and every link to a file or a heading leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.pages import PAGES, ROOT, anchors, prose

NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
FORBIDDEN = r"(?<![\w.])/(?:root|work|home/\w+)/|file:///\w"


def test_the_readme_can_be_read_in_one_go() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


@pytest.mark.parametrize("name", NAMES)
def test_every_local_link_leads_somewhere(name: str) -> None:
    page, lost = ROOT / name, []
    for link in re.findall(r"\]\(([^()\s]+)\)", prose(page)):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists():
            lost.append(f"{link}: there is no such file")
        elif anchor and anchor not in anchors(path):
            lost.append(f"{link}: there is no such heading")
    assert not lost, f"{name}: {lost}"


def test_every_page_is_in_the_table_of_contents() -> None:
    docs = ROOT / "docs"
    listed: set[Path] = {docs / "index.md"}
    for page in (docs / "index.md", docs / "reference" / "python" / "index.md"):
        for tree in re.findall(r"```{toctree}\n(.*?)```", page.read_text(), flags=re.S):
            words = (re.sub(r".*<(.+)>", r"\1", line.strip()) for line in tree.splitlines())
            listed |= {page.parent / f"{w}.md" for w in words if w and not w.startswith(":")}
    there = {path for path in PAGES if docs in path.parents}
    assert listed == there


def test_every_picture_is_shown() -> None:
    pictures = {path.name for path in (ROOT / "docs" / "pictures").iterdir()}
    text = "\n".join(path.read_text() for path in PAGES)
    assert {name for name in pictures if name not in text} == set()


@pytest.mark.parametrize("name", NAMES)
def test_no_page_tells_of_somebodys_machine(name: str) -> None:
    assert not re.findall(FORBIDDEN, (ROOT / name).read_text())
