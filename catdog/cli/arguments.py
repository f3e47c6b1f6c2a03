"""How a command reads its options; without Hydra, so that ``catdog.doctor`` can look for it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any


def parser(module: str, description: str, epilog: str = "", **more: Any) -> ArgumentParser:
    """Return a command's parser, which calls the command as the person called it.

    Args:
        module: Of catdog, such as ``predict``.
        description: What the command does, in a sentence.
        epilog: Shown below the options as it is, line by line.
        **more: Of ``argparse.ArgumentParser``.

    >>> parser("predict", "Classify photos.").prog
    'python -m catdog.predict'
    """
    called = sys.argv[0] if sys.argv[0].startswith("catdog ") else f"python -m catdog.{module}"
    look = RawDescriptionHelpFormatter
    return ArgumentParser(called, description=description, epilog=epilog,
                          formatter_class=look, **more)  # fmt: skip
