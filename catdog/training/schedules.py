"""Build learning rate schedules for Keras optimizers."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import keras

Rate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule
"""A constant learning rate, or one that depends on the step."""


def schedule(
    name: str,
    lr: float,
    *,
    epochs: int,
    steps_per_epoch: int,
    warmup_epochs: float = 0.0,
    final_lr: float = 0.0,
) -> Rate:
    """Build a learning rate schedule over all steps of a training.

    With T steps in total, W of them warm-up, the learning rate at step t is::

        constant       lr
        plateau        lr, which ``fit`` lowers later
        cosine         final_lr + (lr - final_lr) * (1 + cos(pi * t / T)) / 2                [1]
        warmup_cosine  lr * t / W for t < W; then cosine over the other T - W steps
        one_cycle      from lr / 25 to lr along a cosine for t < W; then cosine as above     [2]

    and ``final_lr`` after step T.

    Args:
        name: ``constant``, ``plateau``, ``cosine``, ``warmup_cosine`` or ``one_cycle``.
        lr: The highest learning rate, greater than 0.
        epochs: Length of the training in epochs, at least 1.
        steps_per_epoch: Batches per epoch, at least 1.
        warmup_epochs: Length of the warm-up in epochs; may be a fraction. Only for
            ``warmup_cosine`` and ``one_cycle``, which has at least one step of it.
        final_lr: Learning rate at the end, from 0 to ``lr``.

    Returns:
        ``lr`` itself for ``constant`` and ``plateau``, else a Keras schedule.

    References:
        [1] Loshchilov & Hutter 2017, "SGDR", https://arxiv.org/abs/1608.03983 (without restarts)
        [2] Smith & Topin 2018, "Super-convergence", https://arxiv.org/abs/1708.07120

    >>> rate = schedule("warmup_cosine", 0.1, epochs=5, steps_per_epoch=10, warmup_epochs=1)
    >>> [round(float(rate(step)), 3) for step in (0, 5, 10, 30, 50)]
    [0.0, 0.05, 0.1, 0.05, 0.0]
    """
    total = epochs * steps_per_epoch
    warmup = round(warmup_epochs * steps_per_epoch)
    if name in ("constant", "plateau"):
        return lr
    if name == "one_cycle":
        return OneCycle(lr, max(1, warmup), total, final_lr)
    if name == "cosine":
        warmup = 0
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else lr,
        decay_steps=max(1, total - warmup),
        alpha=final_lr / lr,
        warmup_target=lr if warmup else None,
        warmup_steps=warmup,
    )


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Rise from ``lr / 25`` to ``lr`` along a cosine, then fall to ``final_lr`` along another.

    Args:
        lr: The highest learning rate, greater than 0.
        warmup_steps: Steps of the rise, at least 1.
        total_steps: Steps of rise and fall together.
        final_lr: Learning rate at the end, from 0 to ``lr``.

    References:
        Smith & Topin 2018, "Super-convergence: very fast training of neural networks using large
        learning rates", https://arxiv.org/abs/1708.07120

    >>> rate = OneCycle(0.1, warmup_steps=10, total_steps=50, final_lr=0.0)
    >>> [round(float(rate(step)), 3) for step in (0, 10, 30, 50)]
    [0.004, 0.1, 0.05, 0.0]
    """

    def __init__(self, lr: float, warmup_steps: int, total_steps: int, final_lr: float) -> None:
        super().__init__()
        self.lr, self.warmup_steps = lr, warmup_steps
        self.total_steps, self.final_lr = total_steps, final_lr

    def __call__(self, step: Any) -> Any:
        """Return the learning rate at ``step``."""
        ops = keras.ops
        step = ops.cast(step, "float32")
        up = ops.clip(step / self.warmup_steps, 0.0, 1.0)
        fall = max(1, self.total_steps - self.warmup_steps)
        down = ops.clip((step - self.warmup_steps) / fall, 0.0, 1.0)
        start = self.lr / 25
        rising = start + (self.lr - start) * (1 - ops.cos(math.pi * up)) / 2
        falling = self.final_lr + (self.lr - self.final_lr) * (1 + ops.cos(math.pi * down)) / 2
        return ops.where(step < self.warmup_steps, rising, falling)

    def get_config(self) -> dict[str, float]:
        """Return the arguments, as Keras saves them."""
        return {
            "lr": self.lr,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "final_lr": self.final_lr,
        }
