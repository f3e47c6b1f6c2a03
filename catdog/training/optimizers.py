"""Build Keras optimizers."""

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
        rate: Learning rate, greater than 0, or a schedule over steps.
        weight_decay: Decoupled weight decay, at least 0: each step subtracts
            ``rate * weight_decay * weight``. None turns it off.
        momentum: In [0, 1); only for sgd and rmsprop.
        nesterov: Whether to use Nesterov momentum; only for sgd.
        clipnorm: Largest norm of each variable's gradient, greater than 0; None turns it off.
        precision: Keras dtype policy of the model. With ``mixed_float16`` the loss is scaled, so
            that small gradients do not become 0.

    Returns:
        The optimizer; with ``mixed_float16`` in a ``LossScaleOptimizer``.

    Raises:
        KeyError: the name is unknown.

    >>> build("sgd", 0.1, momentum=0.9).get_config()["momentum"]
    0.9
    """
    options: dict[str, Any] = {"learning_rate": rate, "clipnorm": clipnorm}
    if weight_decay is not None or name == "adamw":  # Keras' default of adamw is not off
        options["weight_decay"] = weight_decay or 0.0
    if name in ("sgd", "rmsprop"):
        options["momentum"] = momentum
    if name == "sgd":
        options["nesterov"] = nesterov
    optimizer = OPTIMIZERS[name](**options)
    # One device has nothing to sum, and TensorFlow never frees the graph of the summation.
    optimizer._all_reduce_sum_gradients = list
    if precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
