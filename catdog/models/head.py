"""The head: the dropout and dense layers between features and logits."""

from __future__ import annotations

from collections.abc import Sequence

import keras


def build(
    feature_shape: Sequence[int],
    classes: int,
    *,
    units: Sequence[int] = (),
    dropout: float | Sequence[float] = 0.2,
    precision: str = "float32",
    seed: int = 0,
) -> keras.Model:
    """Build the head of a classifier.

    Args:
        feature_shape: Shape of one photo's features, such as (1280,).
        classes: Number of classes, at least 2.
        units: Sizes of the hidden layers, each with ReLU; an empty sequence makes a linear
            classifier.
        dropout: Rate in [0, 1) after every hidden layer, or one rate per layer. In a linear
            classifier it applies to the features.
        precision: Keras dtype policy of the hidden layers: ``float32``, ``mixed_float16`` or
            ``mixed_bfloat16``. Logits are always float32.
        seed: Seed of the initial weights and of dropout.

    Returns:
        A model from (N, *feature_shape) to (N, classes) float32 logits.

    >>> linear = build((1280,), 2)
    >>> linear.output_shape, linear.count_params()
    ((None, 2), 2562)
    """
    rates = [dropout] * max(1, len(units)) if isinstance(dropout, (int, float)) else list(dropout)
    inputs = keras.Input(feature_shape, dtype="float32", name="features")
    x = inputs
    if not units:
        x = keras.layers.Dropout(rates[0], seed=seed, dtype=precision, name="dropout")(x)
    for i, (size, rate) in enumerate(zip(units, rates, strict=False)):
        initializer = keras.initializers.GlorotUniform(seed=seed + i)
        x = keras.layers.Dense(
            size, "relu", kernel_initializer=initializer, dtype=precision, name=f"hidden_{i}"
        )(x)
        x = keras.layers.Dropout(rate, seed=seed + i, dtype=precision, name=f"dropout_{i}")(x)
    initializer = keras.initializers.GlorotUniform(seed=seed + len(units))
    logits = keras.layers.Dense(
        classes, kernel_initializer=initializer, dtype="float32", name="logits"
    )(x)
    return keras.Model(inputs, logits, name="head")
