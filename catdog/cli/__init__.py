"""What the commands share.

``hydra_app`` starts Hydra and shows errors as one message, ``overrides`` reads and writes the
overrides of the command line, ``typed`` takes these as a person types them, ``choices`` refuses
those that would be ignored, ``mistakes`` knows what was meant, ``arguments`` parses the options of
commands without Hydra, ``inputs`` prepares photos and weights before TensorFlow loads, ``console``
shows progress, ``closed_pipe`` ends quietly if nobody reads on, ``inspection`` answers Hydra's
questions about a search, and ``main`` is the command ``catdog``.
"""

from catdog.cli.main import main

__all__ = ["main"]
