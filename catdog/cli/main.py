"""The catdog command: ``catdog train ...`` is ``python -m catdog.train ...``."""

from __future__ import annotations

import importlib
import sys

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


def main() -> None:
    """Run the command that the first argument names, or list the commands."""
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        lines = [f"  {name:<10}{what}" for name, what in COMMANDS.items()]
        print("\n".join(["catdog COMMAND ...", "", *lines]))
        return
    if words[0] not in COMMANDS:
        names = ", ".join(COMMANDS)
        sys.exit(f"catdog: there is no command {words[0]!r}; there are: {names}")
    sys.argv = [f"catdog {words[0]}", *words[1:]]
    importlib.import_module(f"catdog.{words[0]}").main()
