"""From a folder, archive or data set to a manifest of its photos; without TensorFlow.

``index.prepare`` runs all of it: ``packed`` (archives), ``demo`` (drawn by ``demo_faces`` and
``demo_scene``) and ``tfds`` provide the photos, ``folders`` finds them with class and split,
``spelling`` joins classes whose names differ only in capitals or accents, ``scan`` checks each
photo once by ``formats``, ``split`` assigns each to a split, ``exclusions`` keeps some out of
training, and ``manifest`` is the result.
"""

from catdog.data.index import prepare, require_writable

__all__ = ["prepare", "require_writable"]
