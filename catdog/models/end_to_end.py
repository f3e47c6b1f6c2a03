"""The end-to-end model that is saved: from photos to class probabilities."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import keras


def stitch(
    preprocessing: Sequence[keras.layers.Layer],
    prefix: keras.Model,
    head: keras.Model,
    *,
    features_dtype: str,
    suffix: keras.Model | None = None,
) -> keras.Model:
    """Join preprocessing, frozen prefix and trained parts into one model.

    Args:
        preprocessing: Scaling and resizing, from ``batches.preprocessing``.
        prefix: The frozen part, from ``backbone.prefix``.
        head: Model from features to logits.
        features_dtype: Type of stored features, ``float16`` or ``float32``. An identity layer of
            this type rounds features as the feature store does, so that the saved model makes the
            predictions that the run was scored with.
        suffix: The unfrozen end of a cut network, between stored features and head; None if
            the whole network is frozen.

    Returns:
        A model from (N, H, W, 3) uint8 photos of any size to (N, classes) float32 probabilities.

    >>> layers = keras.layers
    >>> whole = stitch(
    ...     [layers.Rescaling(1 / 255), layers.Resizing(4, 4)],
    ...     keras.Sequential([keras.Input((4, 4, 3)), layers.Flatten()]),
    ...     keras.Sequential([keras.Input((48,)), layers.Dense(2)]),
    ...     features_dtype="float16",
    ... )
    >>> whole.input_shape, whole.output_shape
    ((None, None, None, 3), (None, 2))
    """
    photos = keras.Input((None, None, 3), dtype="uint8", name="photos")
    x = photos
    for layer in preprocessing:
        # Resizing's default is training=True, which all later layers would inherit: the saved
        # model, called as model(photos), would apply dropout
        x = layer(x, training=False)
    x = prefix(x)
    x = keras.layers.Activation("linear", dtype=features_dtype, name="stored")(x)
    x = keras.layers.Activation("linear", dtype="float32", name="loaded")(x)
    if suffix is not None:
        x = suffix(x)
    x = head(x)
    x = keras.layers.Softmax(dtype="float32", name="probabilities")(x)
    return keras.Model(photos, x, name="catdog")


@contextlib.contextmanager
def stitched(
    preprocessing: Sequence[keras.layers.Layer],
    prefix: keras.Model,
    head: keras.Model,
    *,
    features_dtype: str,
    suffix: keras.Model | None = None,
) -> Iterator[keras.Model]:
    """Yield the model of ``stitch``, and disconnect its parts afterwards.

    A Keras layer remembers all its calls, and through them every model that it became a part of: a
    prefix that many trials share would keep the heads of all of them in memory.

    Args:
        preprocessing: As for ``stitch``, like all others.
        prefix: The frozen part.
        head: Model from features to logits.
        features_dtype: Type of stored features.
        suffix: The unfrozen end of a cut network.
    """
    calls = [
        nodes
        for part in (*preprocessing, prefix, head, *([suffix] if suffix is not None else []))
        for nodes in (part._inbound_nodes, part._outbound_nodes)
    ]
    lengths = [len(nodes) for nodes in calls]
    try:
        yield stitch(preprocessing, prefix, head, features_dtype=features_dtype, suffix=suffix)
    finally:
        for nodes, length in zip(calls, lengths, strict=True):
            del nodes[length:]


def joined(suffix: keras.Model, head: keras.Model) -> keras.Model:
    """Join suffix and head into the model that is trained.

    Args:
        suffix: Model from (N, h, w, channels) feature maps to (N, d) features.
        head: Model from (N, d) features to (N, classes) logits.

    Returns:
        A model from (N, h, w, channels) float32 to (N, classes) float32 logits.
    """
    start = keras.Input(suffix.input_shape[1:], dtype="float32", name="map")
    return keras.Model(start, head(suffix(start)), name="trained")
