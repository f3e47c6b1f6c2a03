"""Stitch the end-to-end model that is saved: photos in, class probabilities out."""

from __future__ import annotations

from collections.abc import Sequence

import keras


def stitch(
    preprocessing: Sequence[keras.layers.Layer],
    prefix: keras.Model,
    trained: keras.Model,
    *,
    features_dtype: str,
) -> keras.Model:
    """Join preprocessing, frozen prefix and trained part.

    Args:
        preprocessing: From ``pipeline.preprocessing``.
        prefix: The frozen part.
        trained: Features to logits.
        features_dtype: The store's; an identity layer of it makes this model round as the store
            does, so that it gives the very predictions that the run was scored with.

    Returns:
        A model from (N, H, W, 3) uint8 photos of any size to (N, classes) float32 probabilities.
    """
    photos = keras.Input((None, None, 3), dtype="uint8", name="photos")
    x = photos
    for layer in preprocessing:
        # Resizing's own default is training=True, and all layers behind it inherit that: called
        # as model(photos), the file would drop features
        x = layer(x, training=False)
    x = prefix(x)
    x = keras.layers.Activation("linear", dtype=features_dtype, name="stored")(x)
    x = keras.layers.Activation("linear", dtype="float32", name="loaded")(x)
    x = trained(x)
    x = keras.layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(photos, x, name="catdog")
