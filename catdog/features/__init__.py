"""Features: the output of the frozen part of a network, computed once per photo and stored.

``decode``, ``augment`` and ``batches`` turn photos into batches of pixels; ``extractor`` runs the
frozen network on them; ``extraction`` computes the rows that the feature store (``store``) lacks;
``feeds`` hands the rows to training. Loads TensorFlow.
"""
