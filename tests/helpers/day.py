"""A page's commands, run from top to bottom as written, and what the page says they print.

    python tests/helpers/day.py README.md --folder /tmp/day

runs a page in a clean clone with an empty home, and prints for each command its exit code and the
lines of the page that it did not print. The same folder again goes on after the last command.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from helpers.pages import ROOT, blocks

ALLOWED = {"promote": (0, 4)}
"""Exit codes of commands that may say more than 0: the model is not the champion."""

COMMAND = re.compile(r"make \w|\. \.venv|python -m ")
ID = re.compile(r"\b(?:[0-9a-f]{32}|(?=[0-9a-f]*\d)[0-9a-f]{8})\b")
VARIES = (
    (re.compile(r"^seconds.*"), "seconds"),  # in the order of their size
    (re.compile(r", stopped early"), ""),
    (re.compile(r"\b(?:\d+ h )?(?:\d+ min )?[\d.]+ (?:s|min)\b"), "<time>"),
    (ID, "<id>"),
    (re.compile(r"(?<=<id>)(\.\.\.|\?workflowType=\w+)"), ""),
    (re.compile(r"sqlite:/+\S*/"), "sqlite:///.../"),
    (re.compile(r"━+"), "━"),
    (re.compile(r"\b(?:cat|dog)\b"), "<class>"),
    (re.compile(r"\b(?:train|val|test)\b(?=/| <| *$)"), "<split>"),
    (re.compile(r"\d[\d,.:]*(?:e[+-]?\d+)?"), "0"),
)
"""What depends on the machine and the photos, and what stands for it."""


@dataclass
class Step:
    """A command of a page.

    Attributes:
        place: Page and line of its block.
        command: As written.
        opens: Whether it is the first of those that stand together.
        shown: What the page says they print; the last has it.
    """

    place: str
    command: str
    opens: bool = True
    shown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Done:
    """What became of a command: its exit code, all it wrote, the page's lines that it did not."""

    status: int
    said: str
    missing: Sequence[str]

    def fine(self, step: Step) -> bool:
        """Return whether it is as the page says."""
        name = step.command.partition("catdog.")[2].split(" ")[0]
        return self.status in ALLOWED.get(name, (0,)) and not self.missing


def steps(page: Path) -> list[Step]:
    """Return the commands of a page, in order."""
    found: list[Step] = []
    for block in blocks(page):
        if block.language == "python":
            found.append(Step(block.place, shlex.join(["python", "-c", block.text])))
        elif block.language in ("", "bash"):
            for part in re.split(r"\n\s*\n", block.text.strip("\n")):
                if COMMAND.match(part):
                    found += [
                        Step(block.place, one, not k) for k, one in enumerate(_commands(part))
                    ]
                elif found:
                    found[-1].shown += part.splitlines()
    return found


def _commands(part: str) -> Iterator[str]:
    for line in re.sub(r"\\\n\s*", " ", part).splitlines():
        yield line.split("  #")[0].strip()


def shape(line: str) -> str:
    """Return a line without what varies from machine to machine.

    >>> shape("│ best epoch │ 4 of 7, stopped early │") == shape("│ best epoch  │ 10 of 10   │")
    True
    """
    text = " ".join(re.sub(r"[│┃|]", " ", line).split())
    for pattern, instead in VARIES:
        text = pattern.sub(instead, text)
    return text


def missing(shown: Sequence[str], said: str) -> list[str]:
    """Return the lines that a page shows and a command did not print, in this order.

    >>> missing(["one 1", "...", "three 3"], "one 7\\ntwo\\nthree 9\\n")
    []
    """
    left, absent = [shape(line) for line in said.splitlines()], []
    for line in shown:
        if line.strip() == "...":
            continue
        if shape(line) in left:
            left = left[left.index(shape(line)) + 1 :]
        else:
            absent.append(line)
    return absent


class Day:
    """A clean clone and an empty home in a folder, in which a page's commands run.

    Args:
        folder: Made if it is new.
        photos: The zip that takes the place of the pages' ``dogs-vs-cats.zip``.
        install: Whether ``make`` installs everything; else this environment's libraries are used.
    """

    def __init__(self, folder: Path, photos: Path, *, install: bool = False) -> None:
        self._clone, self._home, self._ids = folder / "clone", folder / "home", folder / "ids"
        self._said = ""
        if not self._clone.is_dir():
            self._home.mkdir(parents=True)
            subprocess.run(["git", "clone", "--quiet", ROOT, self._clone], check=True)
            self._bring(photos)
            if not install:
                _borrow_environment(self._clone)

    def _bring(self, photos: Path) -> None:
        """Put the user's own photos where the pages have them."""
        shutil.copy(photos, self._clone / "dogs-vs-cats.zip")
        with zipfile.ZipFile(photos) as outer:
            inner = next((n for n in outer.namelist() if n.endswith("train.zip")), None)
            with zipfile.ZipFile(outer.open(inner)) if inner else outer as packed:
                names = [name for name in packed.namelist() if name.endswith(".jpg")]
                for k, name in enumerate(sorted(names)[:: max(1, len(names) // 200)]):
                    label = "cat" if "cat" in Path(name).name else "dog"
                    places = [self._clone / "photos" / label / f"{k}.jpg"]
                    places += [self._clone / "holiday" / Path(name).name] if k % 40 == 0 else []
                    for place in places:
                        place.parent.mkdir(parents=True, exist_ok=True)
                        place.write_bytes(packed.read(name))

    def run(self, step: Step) -> Done:
        """Run a command in an activated environment; a server is ended as Ctrl-C ends it."""
        known = dict(line.split() for line in self._read_ids())
        command = ID.sub(lambda found: known.get(found[0], found[0]), step.command)
        process = subprocess.Popen(
            ["bash", "-c", f"test ! -e .venv/bin/activate || . .venv/bin/activate\n{command}"],
            cwd=self._clone, env=self._environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        said = []
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ctrl-C ends it"):
                os.killpg(process.pid, signal.SIGINT)
        text = "".join(said).replace(str(self._home), "~")
        self._said = text if step.opens else self._said + text
        self._learn(step.shown, self._said)
        return Done(process.wait(), text, missing(step.shown, self._said))

    def _environment(self) -> dict[str, str]:
        unset = ("MLFLOW_", "KERAS_", "HYDRA_", "TF_", "PYTHONPATH", "VIRTUAL_ENV", "XDG_")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(unset)}
        for pip in (Path.home() / ".config/pip/pip.conf", Path("/etc/pip.conf")):
            if pip.is_file():  # it may name the only package index that this machine reaches
                kept.setdefault("PIP_CONFIG_FILE", str(pip))
        return {**kept, "HOME": str(self._home), "COLUMNS": "100", "BROWSER": "true"}

    def _read_ids(self) -> list[str]:
        return self._ids.read_text().splitlines() if self._ids.exists() else []

    def _learn(self, shown: Sequence[str], said: str) -> None:
        """Remember which id a run has here that has another one on the page."""
        lines = {shape(line): line for line in reversed(said.splitlines())}
        with self._ids.open("a") as file:
            for line in shown:
                ids = zip(ID.findall(line), ID.findall(lines.get(shape(line), "")), strict=False)
                file.writelines(f"{theirs} {own}\n" for theirs, own in ids)


def _borrow_environment(clone: Path) -> None:
    """Make ``.venv`` with the libraries that this process has, and the clone's own code."""
    venv.create(clone / ".venv", symlinks=True)
    (packages,) = (clone / ".venv/lib").glob("python*/site-packages")
    own = [clone, clone / "plugins/hydra_optuna_workers"]
    there = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "day.pth").write_text("\n".join(map(str, [*own, *there])))
    (clone / ".venv/.installed").touch()


def main() -> None:
    """Run a page; print what became of each command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("page", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    name = "dogs-vs-cats-2k-native.zip"
    parser.add_argument("--photos", type=Path, default=ROOT.parent / "shared/data" / name)
    parser.add_argument("--install", action="store_true", help="as make does, from the index")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no command after that")
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    day = Day(options.folder, options.photos, install=options.install)
    at = options.folder / "done"
    begun = int(at.read_text()) if at.exists() else 0
    end = time.monotonic() + options.seconds
    for k, step in itertools.islice(enumerate(steps(ROOT / options.page)), begun, None):
        if time.monotonic() > end:
            break
        done = day.run(step)
        (options.folder / f"{k}.txt").write_text(done.said)
        print(
            f"{done.status} {'as the page' if not done.missing else 'NOT as the page'}", end="  "
        )
        print(f"{step.place}  {step.command.splitlines()[0][:90]}", flush=True)
        print(*(f"    not printed: {line}\n" for line in done.missing), sep="", end="", flush=True)
        at.write_text(str(k + 1))


if __name__ == "__main__":
    main()
