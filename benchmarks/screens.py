"""What each command shows, as a person at a terminal has it: how soon, how wide, and what else.

Runs every command in a clone of the project with a home of its own, in a terminal of 80 columns,
and prints a table: the time to the first line, the longest silence and the line before it, the
widest line, lines that no part of catdog wrote.

    python benchmarks/screens.py --columns 80
    python benchmarks/screens.py --pipe --commit 8534eaa --only train sweep

The clone uses this environment's libraries. Photos are the drawn ones.
"""

from __future__ import annotations

import argparse
import fcntl
import itertools
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.cells import cell_len

ROOT = Path(__file__).resolve().parents[1]
NAMES = "cache doctor train repeat suggest suspects predict evaluate promote sweep ui".split()
WORDS = {
    "repeat": "{run}",
    "predict": "{home}/.cache/catdog/photos/demo/v1-0-400/dog --model best",
    "promote": "--run {run}",
    "sweep": "smoke",
    "ui": "--no-browser --port 5123",
}
"""What follows a command's name."""

NOISE = re.compile(
    r"Warning\b|WARNING|deprecat|oneDNN|cuda|E0000|I0000|W0000|tensorflow/(?:core|compiler|python)|absl|/site-packages/"
    r"|it/s\]|alembic|INFO  "
)
"""What TensorFlow, MLflow, tqdm and their like write."""

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[()=>][0-9A-B]?")


@dataclass
class Screen:
    """What one command showed, and when.

    Attributes:
        chunks: (seconds since the start, text).
        seconds: How long the command ran.
        status: Its exit code.
    """

    chunks: list[tuple[float, str]] = field(default_factory=list)
    seconds: float = 0.0
    status: int = 0

    @property
    def text(self) -> str:
        """All that was written, without colours and moves of the cursor."""
        return ESCAPES.sub("", "".join(text for _, text in self.chunks))

    @property
    def lines(self) -> list[str]:
        """Its lines, and the states of those that were drawn again."""
        return [line.rstrip() for line in re.split(r"[\r\n]+", self.text) if line.strip()]

    @property
    def first(self) -> float:
        """Seconds until something could be read."""
        return next(
            (at for at, text in self.chunks if ESCAPES.sub("", text).strip()), self.seconds
        )

    def silence(self) -> tuple[float, str]:
        """Return the longest time without a sign of life, and the line that stood there."""
        times = [0.0, *(at for at, _ in self.chunks), self.seconds]
        longest, k = max((b - a, k) for k, (a, b) in enumerate(itertools.pairwise(times)))
        before = Screen(self.chunks[:k]).lines
        return longest, before[-1].strip() if before else "(nothing yet)"

    def row(self, name: str) -> list[str]:
        """Return its row of the table."""
        gap, line = self.silence()
        widest = max(map(cell_len, self.lines), default=0)
        noise = [one for one in self.lines if NOISE.search(one)]
        return [
            name, str(self.status), f"{self.seconds:.1f}", f"{self.first:.1f}", f"{gap:.1f}",
            str(widest), str(len(noise)), line[:40],
        ]  # fmt: skip


def watch(words: Sequence[str], folder: Path, env: dict[str, str], columns: int) -> Screen:
    """Run a command in a terminal, or with 0 columns into a pipe."""
    reader, writer = pty.openpty() if columns else os.pipe()
    if columns:
        fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    begun = time.monotonic()
    process = subprocess.Popen(
        words, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer,
        start_new_session=True,
    )  # fmt: skip
    os.close(writer)
    screen = Screen()
    for text in _read(reader, process):
        screen.chunks.append((time.monotonic() - begun, text))
        if "Ctrl-C ends it" in text:  # a server
            process.send_signal(signal.SIGINT)
    screen.status, screen.seconds = process.wait(), time.monotonic() - begun
    return screen


def _read(reader: int, process: subprocess.Popen[bytes]) -> Iterator[str]:
    while True:
        if not select.select([reader], [], [], 0.05)[0]:
            if process.poll() is not None:
                break
            continue
        try:
            read = os.read(reader, 1 << 16)
        except OSError:  # a terminal whose last writer has gone
            break
        if not read:
            break
        yield read.decode(errors="replace")
    os.close(reader)


def clone(folder: Path, commit: str) -> dict[str, str]:
    """Clone the project, and return the environment in which its commands run."""
    if not (folder / "clone").is_dir():
        subprocess.run(["git", "clone", "-q", ROOT, folder / "clone"], check=True)
        subprocess.run(["git", "checkout", "-q", commit], cwd=folder / "clone", check=True)
        (folder / "home").mkdir()
    packages = [folder / "clone", folder / "clone/plugins/hydra_optuna_workers"]
    unset = ("MLFLOW_", "KERAS_", "HYDRA_", "TF_")
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(unset)},
        "HOME": str(folder / "home"), "PYTHONPATH": os.pathsep.join(map(str, packages)),
        "PIP_CONFIG_FILE": str(Path.home() / ".config/pip/pip.conf"),  # it may name the only index
        "TERM": "xterm-256color",
    }  # fmt: skip


def main() -> None:
    """Run the commands, and print a row as each one ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--columns", type=int, default=80)
    parser.add_argument("--pipe", action="store_true", help="no terminal at all")
    parser.add_argument("--commit", default="HEAD")
    parser.add_argument("--only", nargs="+", default=NAMES, choices=NAMES)
    parser.add_argument("--folder", type=Path, help="kept, with what each command showed")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="screens-"))
    folder.mkdir(exist_ok=True)
    env, run = clone(folder, options.commit), ""
    row = "{:<9} {:>4} {:>7} {:>6} {:>8} {:>6} {:>6}  {}".format
    print(row("command", "exit", "seconds", "first", "silence", "widest", "noise", "silent after"))
    for name in options.only:
        known = folder / "run"
        run = known.read_text() if known.exists() else ""
        words = shlex.split(WORDS.get(name, "").format(run=run, home=folder / "home"))
        command = [sys.executable, "-m", f"catdog.{name}", *words]
        screen = watch(command, folder / "clone", env, 0 if options.pipe else options.columns)
        print(row(*screen.row(name)), flush=True)
        (folder / f"{name}.txt").write_text(screen.text)
        if name == "train" and (found := re.search(r"\brun ([0-9a-f]{8})\b", screen.text)):
            known.write_text(found[1])
    print(f"what each of them showed: {folder}/*.txt")


if __name__ == "__main__":
    main()
