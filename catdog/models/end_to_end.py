"""Stitch the end-to-end model that is saved: photos in, class probabilities out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import keras


@contextlib.contextmanager
def stitched(
    preprocessing: Sequence[keras.layers.Layer],
    prefix: keras.Model,
    head: keras.Model,
    *,
    features_dtype: str,
    suffix: keras.Model | None = None,
) -> Iterator[keras.Model]:
    """Yield the end-to-end model of ``stitch``; the parts are afterwards as they were.

    A Keras layer keeps each of its calls, and by them all that it was ever joined to: a prefix
    that many trials share would keep all their heads.
    """
    calls = [
        list_
        for part in (*preprocessing, prefix, head, *([suffix] if suffix is not None else []))
        for list_ in (part._inbound_nodes, part._outbound_nodes)
    ]
    lengths = [len(list_) for list_ in calls]
    try:
        yield stitch(preprocessing, prefix, head, features_dtype=features_dtype, suffix=suffix)
    finally:
        for list_, length in zip(calls, lengths, strict=True):
            del list_[length:]


def joined(suffix: keras.Model, head: keras.Model) -> keras.Model:
    """Return suffix and head as the one model that is trained: feature map to logits."""
    start = keras.Input(suffix.input_shape[1:], dtype="float32", name="map")
    return keras.Model(start, head(suffix(start)), name="trained")


def stitch(
    preprocessing: Sequence[keras.layers.Layer],
    prefix: keras.Model,
    head: keras.Model,
    *,
    features_dtype: str,
    suffix: keras.Model | None = None,
) -> keras.Model:
    """Join preprocessing, frozen prefix and trained parts.

    Args:
        preprocessing: From ``pipeline.preprocessing``.
        prefix: The frozen part.
        head: Features to logits.
        features_dtype: The store's; an identity layer of it makes this model round as the store
            does, so that it gives the very predictions that the run was scored with.
        suffix: Of a cut network the rest of it, between what is stored and the head.

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
    if suffix is not None:
        x = suffix(x)
    x = head(x)
    x = keras.layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(photos, x, name="catdog")
