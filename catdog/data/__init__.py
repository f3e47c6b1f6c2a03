"""From a folder, zip or data set to a manifest of its photos; without TensorFlow.

``index.prepare`` runs all of it: ``archive``, ``demo`` (drawn by ``demo_faces`` and
``demo_scene``) and ``tfds`` provide the photos, ``folders`` finds them with class and split,
``scan`` checks each once by ``formats``, ``split`` assigns each to a split, ``exclusions`` keeps
some out of training, and ``manifest`` is the result.
"""

from catdog.data.index import prepare, require_writable

__all__ = ["prepare", "require_writable"]
