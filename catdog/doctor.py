"""python -m catdog.doctor: whether this machine is ready, and what to do where it is not.

``--sweep NAME`` says what a search would do and, from a pilot of it, how long it takes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from catdog.cli import arguments, pipes
from catdog.core import paths
from catdog.errors import CatdogError, shown
from catdog.settings import Features
from catdog.system import checks
from catdog.system.finding import NOTE, OK, RED, WARNING, Finding

EPILOG = "exit code: 0 ready, perhaps with warnings   1 something is red   2 wrong usage"


def main() -> None:
    """Run the command."""
    options = _parse(sys.argv[1:])
    try:
        if options.sweep:
            from catdog.study import forecast

            forecast.report(options.sweep, options.overrides)
        else:
            with pipes.may_close():
                status = _examine(options)
            sys.exit(status)
    except KeyboardInterrupt:
        sys.exit(130)


def _parse(words: list[str]) -> argparse.Namespace:
    parser = arguments.parser(
        "doctor", "Look whether this machine is ready; nothing is made or changed.", EPILOG
    )
    add, cache = parser.add_argument, Features().dir
    add("--uri", help="MLflow store or server; else MLFLOW_TRACKING_URI, else mlruns/mlflow.db")
    add("--storage", help="database of studies, as hydra.sweeper.storage; else those in sweeps/")
    add("--sweeps", default=paths.root() / "sweeps", metavar="FOLDER", help="studies' (sweeps)")
    add("--dir", default=cache, help="the cache (features.dir, %(default)s)")
    add("--sweep", metavar="NAME", help="what this search would do; a pilot estimates its time")
    add("overrides", nargs="*", metavar="key=value", help="of the search")
    options = parser.parse_args(words)
    if options.overrides and not options.sweep:
        parser.error(f"{options.overrides[0]} is of a search: --sweep NAME comes before it")
    return options


def _examine(options: argparse.Namespace) -> int:
    """Print every finding; return 1 if one is red."""
    marks = []
    for finding in _findings(options):
        _show(finding)
        marks.append(finding.mark)
    print(f"{marks.count(RED)} red, {marks.count(WARNING)} warnings")
    return int(RED in marks)


def _findings(options: argparse.Namespace) -> Iterator[Finding]:
    try:
        from catdog.system import resources
    except ImportError:  # the checks that need it say so
        yield from _all(options)
        return
    with resources.tensorflow_gpus() as gpus:  # it loads during the other checks
        yield from _all(options)
        try:
            yield _devices(gpus(), has_nvidia=resources.has_nvidia())
        except CatdogError as error:
            yield Finding(RED, "devices", str(error), "pip install --force-reinstall tensorflow")


def _all(options: argparse.Namespace) -> Iterator[Finding]:
    for name, check in checks.ALL:
        yield from checks.guarded(name, check, options)


def _devices(gpus: list[str], *, has_nvidia: bool) -> Finding:
    if gpus:
        return Finding(OK, "devices", f"TensorFlow sees {', '.join(gpus)}")
    if has_nvidia:
        fix = "pip install 'tensorflow[and-cuda]'"
        text = "there is an NVIDIA driver, but TensorFlow sees no GPU"
        return Finding(WARNING, "devices", text, fix)
    return Finding(NOTE, "devices", "no GPU; catdog is made for processors too")


STYLES = {OK: "green", WARNING: "yellow", RED: "bold red"}


def _show(finding: Finding) -> None:
    """Print a finding, and in a second line what to do about it."""
    try:
        from rich.console import Console
        from rich.text import Text
    except ImportError:
        words = (finding.mark, finding.name, shown(finding.text), shown(finding.fix))
        print(*words, sep="  ", flush=True)
        return
    style = STYLES.get(finding.mark, "dim")
    line = Text.assemble((f"{finding.mark:<9}", style), f"{finding.name:<11}", shown(finding.text))
    out = Console(highlight=False)
    out.print(line, soft_wrap=True)
    if finding.fix:
        out.print(Text(f"{'':20}-> {shown(finding.fix)}"), soft_wrap=True)


if __name__ == "__main__":
    main()
