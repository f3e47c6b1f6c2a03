"""What the commands share.

``hydra_app`` starts Hydra and shows errors as one message, ``overrides`` reads and writes the
overrides of the command line, ``choices`` refuses those that would be ignored, ``mistakes`` knows
what was meant, ``arguments`` parses the options of commands without Hydra, ``inputs`` prepares
photos and weights before TensorFlow loads, ``console`` shows progress, ``pipes`` ends quietly if
nobody reads on, and ``main`` is the command ``catdog``.
"""

from catdog.cli.main import main

__all__ = ["main"]
