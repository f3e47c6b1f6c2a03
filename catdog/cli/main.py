"""The catdog command: ``catdog train ...`` is ``python -m catdog.train ...``."""

from __future__ import annotations

import difflib
import importlib
import sys

import catdog
from catdog.cli import closed_pipe

COMMANDS = {
    "train": "one run, or several with -m; catdog train --help",
    "sweep": "the searches in sweeps/; with a name, run one",
    "predict": "classify photos, folders and zips with a trained model",
    "evaluate": "the metrics of a trained model on photos, with confidence intervals",
    "suspects": "labels that may be wrong, and photos that are nearly the same",
    "repeat": "repeat a run, and compare its figures to the last bit",
    "promote": "register a model; make it the champion if it beats the present one",
    "suggest": "learning rates, from the LR range test alone",
    "doctor": "check this machine; with --sweep, what a search would do and how long it takes",
    "cache": "list the cache folder; with prune, remove some of it",
    "ui": "browse runs in MLflow, with --optuna studies in Optuna's dashboard",
}
"""Name and description of each command."""


VERSION = ("--version", "-V")
"""Options that ask which version this is."""


def version() -> str:
    """Return the line that says which version this is."""
    return f"catdog {catdog.__version__}"


def main() -> None:
    """Run the command that the first argument names, or list the commands."""
    closed_pipe.end_quietly()
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        lines = [f"  {name:<10}{what}" for name, what in COMMANDS.items()]
        print("\n".join(["catdog COMMAND ...    or python -m catdog.COMMAND ...", "", *lines]))
        return
    if words[0] in VERSION:
        print(version())
        return
    if words[0] not in COMMANDS:
        names, near = ", ".join(COMMANDS), difflib.get_close_matches(words[0], COMMANDS, 1)
        fix = f"; try `catdog {near[0]}`" if near else ""
        sys.exit(f"catdog: there is no command {words[0]!r}; there are: {names}{fix}")
    sys.argv = [f"catdog {words[0]}", *words[1:]]
    importlib.import_module(f"catdog.{words[0]}").main()
