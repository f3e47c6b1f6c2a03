"""Learning rate schedules, as Keras has them."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import keras

Rate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule


def schedule(
    name: str,
    lr: float,
    *,
    epochs: int,
    steps_per_epoch: int,
    warmup_epochs: float = 0.0,
    final_lr: float = 0.0,
) -> Rate:
    """Build a schedule over all steps of a training.

    Args:
        name: ``constant`` and ``plateau`` give ``lr`` itself; ``cosine`` (SGDR, Loshchilov &
            Hutter 2017, without restarts), ``warmup_cosine`` (linear warm-up first) and
            ``one_cycle`` (Smith & Topin 2018: from lr / 25 up and down, along cosines).
        lr: The highest learning rate.
        epochs: Length of the training.
        steps_per_epoch: Batches per epoch.
        warmup_epochs: Length of the rise, in epochs; may be a fraction.
        final_lr: Learning rate at the end, at most ``lr``.
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
    """One cosine up from ``lr / 25`` to ``lr``, one down to ``final_lr`` (Smith & Topin 2018).

    Args:
        lr: The highest learning rate.
        warmup_steps: Steps of the rise, at least 1.
        total_steps: Steps of rise and fall together.
        final_lr: Learning rate at the end.
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
        """Return the arguments."""
        return {
            "lr": self.lr,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "final_lr": self.final_lr,
        }
