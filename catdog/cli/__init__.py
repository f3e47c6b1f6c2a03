"""What commands share: the console, photos and weights, how Hydra is started.

``hydra_app`` starts Hydra and shows errors as one message, ``overrides`` reads and writes its
command lines, ``inputs`` finds photos and weights before TensorFlow loads, ``console`` draws
progress, ``main`` is ``catdog COMMAND``.
"""

from catdog.cli.main import main

__all__ = ["main"]
