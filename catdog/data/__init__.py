"""From a folder, zip or data set to a manifest; no TensorFlow.

``scan`` finds photos and checks each once by ``formats``, ``split`` divides them by their content,
``exclusions`` keeps some out of training, ``manifest`` is the result. ``archive``, ``demo`` and
``tfds`` are where photos come from; ``index.prepare`` is the way in.
"""

from catdog.data.index import prepare, require_writable

__all__ = ["prepare", "require_writable"]
