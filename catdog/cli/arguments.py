"""The parser of a command's options; without Hydra, which ``catdog.doctor`` may find missing."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from catdog.cli import closed_pipe
from catdog.cli.main import version

DATA = "photos whose runs best compares: name, path or digest (the latest run's)"
"""Help on ``--data``, of every command that takes a model by its name."""


def parser(module: str, description: str, epilog: str = "", **more: Any) -> ArgumentParser:
    """Return the parser of a command; its help names the command as the user called it.

    Args:
        module: Name of the command, such as ``predict``.
        description: What the command does, in a sentence.
        epilog: Text below the options, shown line by line as it is.
        **more: Further arguments of ``argparse.ArgumentParser``.

    Example:
        >>> parser("predict", "Classify photos.").prog
        'python -m catdog.predict'
    """
    closed_pipe.end_quietly()
    called = sys.argv[0] if sys.argv[0].startswith("catdog ") else f"python -m catdog.{module}"
    formatter = RawDescriptionHelpFormatter
    made = ArgumentParser(called, description=description, epilog=epilog,
                          formatter_class=formatter, **more)  # fmt: skip
    made.add_argument("--version", action="version", version=version())
    return made
