"""Optimizers, as Keras has them."""

from __future__ import annotations

from typing import Any

import keras

from catdog.training.schedules import Rate

OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "lion": keras.optimizers.Lion,
    "nadam": keras.optimizers.Nadam,
}


def build(
    name: str,
    rate: Rate,
    *,
    weight_decay: float | None = None,
    momentum: float = 0.0,
    nesterov: bool = False,
    clipnorm: float | None = None,
    precision: str = "float32",
) -> keras.optimizers.Optimizer:
    """Build a Keras optimizer.

    Args:
        name: ``adam``, ``adamw``, ``sgd``, ``rmsprop``, ``lion`` or ``nadam``.
        rate: Learning rate, or a schedule over steps.
        weight_decay: Decoupled weight decay per step, times the rate; null is off.
        momentum: In [0, 1), of sgd and rmsprop.
        nesterov: Nesterov momentum, of sgd.
        clipnorm: Largest norm of each weight's gradient; null is off.
        precision: With ``mixed_float16`` losses are scaled against underflow.
    """
    options: dict[str, Any] = {"learning_rate": rate, "clipnorm": clipnorm}
    if weight_decay is not None or name == "adamw":  # whose own default is not off
        options["weight_decay"] = weight_decay or 0.0
    if name in ("sgd", "rmsprop"):
        options["momentum"] = momentum
    if name == "sgd":
        options["nesterov"] = nesterov
    optimizer = OPTIMIZERS[name](**options)
    # on one device there is nothing to sum, and TensorFlow never frees a graph that does it
    optimizer._all_reduce_sum_gradients = list
    if precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
