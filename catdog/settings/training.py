"""The groups of training: ``optimizer``, ``schedule``, ``lr_range``, ``trainer``, ``finetune``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from catdog.settings.validation import Group, number, one_of

OPTIMIZER_KEYS = {
    "adam": ("lr", "clipnorm"),
    "adamw": ("lr", "weight_decay", "clipnorm"),
    "sgd": ("lr", "weight_decay", "momentum", "nesterov", "clipnorm"),
    "rmsprop": ("lr", "weight_decay", "momentum", "clipnorm"),
    "lion": ("lr", "weight_decay", "clipnorm"),
    "nadam": ("lr", "clipnorm"),
}
"""The keys that each optimizer has, beside its name."""


@dataclass(frozen=True)
class Optimizer(Group):
    """A Keras optimizer; a key that it does not have must stay at its default.

    Example:
        >>> Optimizer(name="sgd", lr=0.01, momentum=0.9).momentum
        0.9
        >>> Optimizer(momentum=0.9)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        catdog.errors.ConfigError: optimizer.momentum=0.9: only sgd, rmsprop have this key; try ...
    """

    key: ClassVar[str] = "optimizer"

    name: str = one_of(*OPTIMIZER_KEYS)
    """Optimizer of Keras."""

    lr: float = number(1e-3, above=0, maximum=100)
    """Learning rate; with a schedule, its highest value."""

    weight_decay: float | None = number(None, minimum=0, below=1)
    """Decoupled weight decay: each step shrinks the weights by this factor times the learning
    rate; none if unset."""

    momentum: float = number(0.0, minimum=0, below=1)
    """Momentum of the gradients (rmsprop: of the rescaled gradients); 0 for none."""

    nesterov: bool = False
    """Whether to use Nesterov momentum."""

    clipnorm: float | None = number(None, above=0)
    """Largest L2 norm of the gradient of each weight tensor, beyond which it is scaled down; not
    clipped if unset."""

    def check(self) -> None:
        """Reject keys that this optimizer would ignore."""
        for item in fields(self):
            owned = item.name == "name" or item.name in OPTIMIZER_KEYS[self.name]
            if not owned and getattr(self, item.name) != item.default:
                owners = [name for name, own in OPTIMIZER_KEYS.items() if item.name in own]
                raise self.error(
                    item.name, f"only {', '.join(owners)} have this key", f"optimizer={owners[0]}"
                )


@dataclass(frozen=True)
class Schedule(Group):
    """How the learning rate changes during training; it starts again with the second stage.

    Example:
        >>> Schedule(name="warmup_cosine", warmup_epochs=1, final_lr=1e-5).warmup_epochs
        1.0
    """

    key: ClassVar[str] = "schedule"

    name: str = one_of("constant", "cosine", "warmup_cosine", "one_cycle", "plateau")
    """Shape of the schedule: constant, half a cosine down, the same after a linear warm-up, up and
    down along a cosine, or lower whenever trainer.monitor stops improving."""

    warmup_epochs: float = number(0.0, minimum=0)
    """Epochs, or a fraction of one, in which the learning rate rises; fewer than the epochs of
    each stage."""

    final_lr: float = number(0.0, minimum=0)
    """Learning rate at the end (for schedule=plateau: the lowest allowed), at most the highest
    rate of the stage."""

    factor: float = number(0.5, above=0, below=1)
    """Factor by which schedule=plateau lowers the learning rate."""

    patience: int = number(2, minimum=1)
    """Epochs without an improvement of trainer.monitor after which schedule=plateau lowers the
    learning rate."""


@dataclass(frozen=True)
class LrRange(Group):
    """The learning rate range test before training (Smith 2017).

    Example:
        >>> LrRange(min_lr=1e-5, max_lr=0.1, apply="valley").steps
        100
    """

    key: ClassVar[str] = "lr_range"

    enabled: bool = True
    """Whether the learning rate range test runs before training."""

    min_lr: float = number(1e-6, above=0)
    """Learning rate of the first step of the test, below lr_range.max_lr."""

    max_lr: float = number(1.0, above=0, maximum=1000)
    """Learning rate of the last step of the test, unless the loss diverges before."""

    steps: int = number(100, minimum=10, maximum=10000)
    """Batches in the test, each with a learning rate higher by the same factor."""

    apply: str | None = one_of(None, "valley", "steep", "minimum")
    """Which suggestion of the test replaces optimizer.lr; none if unset."""

    def check(self) -> None:
        """Reject an empty range, and a suggestion without the test that gives it."""
        if self.min_lr >= self.max_lr:
            raise self.error(
                "min_lr",
                f"expected less than lr_range.max_lr={self.max_lr}",
                "lr_range.min_lr=1e-6",
            )
        if self.apply and not self.enabled:
            raise self.error(
                "apply", "needs the learning rate range test", "lr_range.enabled=true"
            )


@dataclass(frozen=True)
class Trainer(Group):
    """The training loop of the first stage, in which the whole backbone is frozen.

    Example:
        >>> Trainer(epochs=20, class_weight="balanced", ema=0.99).batch_size
        64
    """

    key: ClassVar[str] = "trainer"

    epochs: int = number(10, minimum=1)
    """Largest number of epochs in the first stage."""

    batch_size: int = number(64, minimum=1)
    """Photos per training step."""

    precision: str = one_of("float32", "mixed_bfloat16", "mixed_float16")
    """Keras dtype policy of the head's hidden layers; logits and loss are always float32."""

    class_weight: str | None = one_of(None, "balanced")
    """How classes are weighted in the training loss: balanced weighs them by inverse frequency,
    unset weighs all photos alike."""

    label_smoothing: float = number(0.0, minimum=0, below=1)
    """Label smoothing of the training loss: the part of each label spread evenly over all
    classes."""

    ema: float | None = number(None, above=0, below=1)
    """Decay per step of an exponential moving average of the weights, 0.99 for one of about 100
    steps, which is then the model that is evaluated and saved; not averaged if unset."""

    monitor: str = one_of("val/loss", "val/accuracy")
    """Metric that decides the best epoch, early stopping and schedule=plateau."""

    patience: int | None = number(3, minimum=1)
    """Epochs without an improvement of trainer.monitor after which training stops; never early if
    unset."""


@dataclass(frozen=True)
class Finetune(Group):
    """The second stage, which trains the head and the backbone from ``backbone.unfreeze_from`` on.

    Example:
        >>> Finetune(epochs=3).lr
        3e-05
    """

    key: ClassVar[str] = "finetune"

    epochs: int = number(0, minimum=0)
    """Largest number of epochs in the second stage, with backbone.unfreeze_from; 0 skips it."""

    lr: float = number(3e-5, above=0, maximum=100)
    """Learning rate of the second stage; with a schedule, its highest value."""
