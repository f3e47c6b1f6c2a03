"""The trainable head: dropout and dense layers on frozen features."""

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
    """Build a head that gives logits.

    Args:
        feature_shape: Shape of one photo's features, such as (1280,).
        classes: Number of classes, at least 2.
        units: Sizes of the hidden layers, relu each; none makes a linear classifier.
        dropout: Rate in [0, 1) after every hidden layer, or one per layer; a linear head drops
            features.
        precision: Keras dtype policy of the hidden layers; logits are float32 always.
        seed: Seed of the initial weights and of the dropout.

    Returns:
        A model from (N, *feature_shape) to (N, classes) float32 logits.
    """
    rates = [dropout] * max(1, len(units)) if isinstance(dropout, (int, float)) else list(dropout)
    inputs = keras.Input(feature_shape, dtype="float32", name="features")
    x = inputs
    if not units:
        x = keras.layers.Dropout(rates[0], seed=seed, dtype=precision, name="dropout")(x)
    for i, (size, rate) in enumerate(zip(units, rates, strict=False)):
        start = keras.initializers.GlorotUniform(seed=seed + i)
        x = keras.layers.Dense(
            size, "relu", kernel_initializer=start, dtype=precision, name=f"hidden_{i}"
        )(x)
        x = keras.layers.Dropout(rate, seed=seed + i, dtype=precision, name=f"dropout_{i}")(x)
    start = keras.initializers.GlorotUniform(seed=seed + len(units))
    logits = keras.layers.Dense(classes, kernel_initializer=start, dtype="float32", name="logits")(
        x
    )
    return keras.Model(inputs, logits, name="head")
