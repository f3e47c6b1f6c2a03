"""Run the benchmarks one after another and write what they said to benchmarks/RESULTS.md.

Each is a program of its own, with its targets in its head. Run this on an idle machine.

    python benchmarks/all.py            # on the real photos, see --data; an hour
    python benchmarks/all.py --quick    # on the demo photos, minutes: does everything run?
"""

from __future__ import annotations

import argparse
import datetime
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import psutil

from catdog.core import paths, provenance
from catdog.data import demo

HERE = Path(__file__).parent
DATA = paths.root().parent / "shared" / "data"
SMALL, LARGE = "dogs-vs-cats-2k-native.zip", "dogs-vs-cats-20k-200px.zip"
FLOWERS = "flowers-3k-128px.zip"
LIBRARIES = ("tensorflow", "keras", "mlflow", "optuna", "hydra-core", "numpy")


def main() -> None:
    """Run all, and write the results even if one fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the photos' zips")
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    options = parser.parse_args()
    programs = quick() if options.quick else whole(options.data)
    if options.quick:
        print("drawings, few and small: does everything run? The targets are those of make bench")
    parts, failed = [heading(quick=options.quick)], []
    for words in programs:
        said, seconds, status = run(words)
        shown = shlex.join(words).replace(str(options.data), "<data>")
        said = said.replace(str(options.data), "<data>")  # no machine's folders in the results
        parts.append(f"## {words[0]}\n\n    python benchmarks/{shown}\n\n```\n{said}```\n\n"
                     f"({seconds / 60:.1f} minutes)\n")  # fmt: skip
        if status:
            failed.append(words[0])
        options.out.write_text("\n".join(parts), encoding="utf-8")
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def whole(data: Path) -> list[list[str]]:
    """Return what is measured on the real photos."""
    small, large, flowers = data / SMALL, data / LARGE, data / FLOWERS
    for file in (small, large, flowers):
        if not file.is_file():
            sys.exit(f"there is no {file}; name its folder with --data, or use --quick")
    return [
        ["features.py", "--photos", str(small)],
        ["fit.py"],
        ["sweeper.py"],
        ["trials.py", "data=kaggle", f"data.path={small}"],
        ["search.py", "data=kaggle", f"data.path={large}"],
        ["growth.py", "data=kaggle", f"data.path={large}"],
        ["suspects.py", "data=kaggle", f"data.path={small}"],
        ["suspects.py", "data=folder", f"data.path={flowers}"],
    ]


def quick() -> list[list[str]]:
    """Return the same on drawings, with fewer repetitions."""
    photos = demo.ensure(Path("~/.cache/catdog/photos/demo").expanduser(), notify=print)
    return [
        ["features.py", "--photos", str(photos), "--layout", "folder", "--limit", "60",
         "--pairs", "2"],
        ["fit.py", "--rows", "2000", "--val-rows", "200", "--pairs", "3", "--cold-pairs", "1"],
        ["sweeper.py", "--quick"],
        ["search.py", "--trials", "4", "--epochs", "3", "--repeats", "1", "--peer-epochs", "1",
         "--peers", "none", "--jobs", "1", "2", "--seeds", "1"],
        ["suspects.py", "--seeds", "1"],
        ["growth.py", "--per-class", "50", "--invented", "2000", "20000"],
    ]  # fmt: skip


def run(words: Sequence[str]) -> tuple[str, float, int]:
    """Run a program, show what it says, and return that with its seconds and exit code."""
    print(f"\n== {shlex.join(words)}", flush=True)
    started, lines = time.monotonic(), []
    command = [sys.executable, str(HERE / words[0]), *words[1:]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    return "".join(lines), time.monotonic() - started, process.returncode


def heading(*, quick: bool) -> str:
    """Return where and when it was measured."""
    system = provenance.environment().splitlines()[0].removeprefix("# ")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES)
    memory = psutil.virtual_memory().total / 2**30
    commit = provenance.commit(paths.root())
    state = f"{commit.sha[:8]}{' with uncommitted changes' if commit.dirty else ''}"
    day = datetime.datetime.now(tz=datetime.timezone.utc).date()
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    kind = "-quick" if quick else ""
    return (
        f"# Results{kind}\n\nWritten by `make bench{kind}` on {day}, commit {state}.\n\n"
        f"{system}, {memory:.0f} GiB; load before: {load}.\n{versions}.\n"
    )


if __name__ == "__main__":
    main()
