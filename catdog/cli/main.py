"""The catdog command: ``catdog train ...`` is ``python -m catdog.train ...``."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "train": "one run, or several with -m; catdog train --help",
    "sweep": "the searches in sweeps/; with a name, run one",
    "predict": "what a trained model says of photos, folders and zips",
    "evaluate": "how good a trained model is on photos, and how sure that is",
    "suspects": "labels that may be wrong, and photos that are nearly the same",
    "repeat": "a run again, and whether its figures are the same to the last bit",
    "promote": "register a model; make it the champion if it beats the present one",
    "suggest": "learning rates, from the LR range test alone",
    "doctor": "what this machine lacks; with --sweep, what a search would do and take",
    "cache": "what lies in the cache folder, and removing some of it",
    "ui": "browse runs in MLflow, with --optuna studies in Optuna's dashboard",
}


def main() -> None:
    """Hand over to a command."""
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
