"""The training loop: epochs, early stopping and the weights of the best epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from catdog.features.feeds import Feed
from catdog.training.steps import Steps

METRICS = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "lr")
"""The metrics of every epoch."""

LOSSES, ACCURACIES = ("train/loss", "val/loss"), ("train/accuracy", "val/accuracy")


@dataclass(frozen=True)
class Fitted:
    """The result of a training.

    Attributes:
        history: The values of each metric in ``METRICS``, one per epoch.
        best_epoch: The epoch (from 1) whose weights the model has now; the earliest of equally
            good ones. 0 if there is none, because the first epoch diverged.
        stopped_early: Whether patience ended a stage.
        pruned: Whether ``on_epoch`` ended the training.
        diverged: Whether the loss of the last epoch, in training or validation, is not finite,
            which ended the training. Its accuracies are NaN: what such a model says is always
            the first class, and the share of that class looks like a result.
        first_stage: Number of epochs of the previous stage; 0 if there was none.
    """

    history: dict[str, list[float]]
    best_epoch: int
    stopped_early: bool
    pruned: bool = False
    diverged: bool = False
    first_stage: int = 0

    @property
    def ended(self) -> bool:
        """Whether the training was ended before it gave a model to keep."""
        return self.pruned or self.diverged

    def at_best(self, metric: str) -> float:
        """Return the value of a metric in the best epoch."""
        return self.history[metric][self.best_epoch - 1]


@dataclass(frozen=True)
class Plateau:
    """Lower the learning rate when the metric stops improving, like Keras' ReduceLROnPlateau.

    Attributes:
        factor: The learning rate is multiplied by it, in (0, 1).
        patience: Epochs without improvement before that, at least 1.
        min_lr: The learning rate does not fall below it.
    """

    factor: float
    patience: int
    min_lr: float = 0.0


def fit(
    steps: Steps,
    train: Feed,
    val: Feed,
    *,
    epochs: int,
    rng: np.random.Generator,
    monitor: str = "val/loss",
    patience: int | None = 3,
    plateau: Plateau | None = None,
    on_epoch: Callable[[int, dict[str, float]], bool] = lambda epoch, metrics: False,
    after: Fitted | None = None,
) -> Fitted:
    """Train a model and give it the weights of its best epoch.

    With a moving average of the weights (``Steps(ema=...)``) the averaged weights are the ones
    that are validated and kept. An epoch whose loss is not finite ends the training and is never
    the best one.

    Args:
        steps: The compiled model and optimizer.
        train: Training photos.
        val: Validation photos.
        epochs: Largest number of epochs, at least 1.
        rng: Draws the order of the photos and their views.
        monitor: ``val/loss`` or ``val/accuracy``, which decides on the best epoch, early stopping
            and plateau.
        patience: Stop after this many epochs without improvement, at least 1; None never stops
            early.
        plateau: How to lower the learning rate after epochs without improvement; None leaves it
            to the schedule.
        on_epoch: Receives the number of each epoch (from 1) and its metrics; returns True to prune
            the training. Not called for an epoch whose loss is not finite.
        after: The result of a previous stage with the same model. Its history is continued, and
            the model keeps its weights unless an epoch of this stage is better. Patience and
            plateau count the epochs of this stage only.

    Returns:
        The history and the best epoch.
    """
    history = {name: list(after.history[name]) if after else [] for name in METRICS}
    ran = len(history["lr"])
    best, stage_best = _Best(monitor, after), _Best(monitor)
    best_weights = steps.model.get_weights() if after else None
    stopped = pruned = diverged = False
    for epoch in range(ran + 1, ran + epochs + 1):
        metrics = _train_epoch(steps, train, rng)
        steps.swap_averages()
        metrics["val/loss"], metrics["val/accuracy"] = steps.evaluate(val)
        metrics["lr"] = learning_rate(steps.optimizer)
        if diverged := not all(math.isfinite(metrics[loss]) for loss in LOSSES):
            metrics |= dict.fromkeys(ACCURACIES, math.nan)
        for name in METRICS:
            history[name].append(metrics[name])
        if diverged:
            break
        if best.update(epoch, metrics[monitor]):
            best_weights = steps.model.get_weights()
        stage_best.update(epoch, metrics[monitor])
        steps.swap_averages()
        pruned = on_epoch(epoch, metrics)
        wait = epoch - stage_best.epoch  # epochs without improvement
        if plateau and wait and wait % plateau.patience == 0:
            lower = max(metrics["lr"] * plateau.factor, plateau.min_lr)
            steps.optimizer.learning_rate = lower
        stopped = patience is not None and wait >= patience and epoch < ran + epochs
        if stopped or pruned:
            break
    if best_weights is not None:
        steps.model.set_weights(best_weights)
    early = stopped or (after is not None and after.stopped_early)
    return Fitted(history, best.epoch, early, pruned, diverged, first_stage=ran)


class _Best:
    """The best epoch so far and its value; of a previous stage to begin with, if there is one."""

    def __init__(self, monitor: str, previous: Fitted | None = None) -> None:
        self._monitor = monitor
        self.epoch = previous.best_epoch if previous else 0
        self._value = previous.at_best(monitor) if previous else math.nan

    def update(self, epoch: int, value: float) -> bool:
        """Return whether an epoch is the first or the best so far."""
        improved = not self.epoch or is_better(value, self._value, self._monitor)
        if improved:
            self.epoch, self._value = epoch, value
        return improved


def is_better(value: float, than: float, monitor: str) -> bool:
    """Return whether a value of a metric is strictly better than another one.

    Args:
        value: The new value; NaN is never better.
        than: The old value; any number is better than NaN.
        monitor: Name of the metric; larger is better if it ends with ``accuracy``, else smaller.

    >>> is_better(0.9, 0.8, "val/accuracy"), is_better(0.9, 0.8, "val/loss")
    (True, False)
    """
    if math.isnan(than):
        return not math.isnan(value)
    return value > than if monitor.endswith("accuracy") else value < than


def _train_epoch(steps: Steps, train: Feed, rng: np.random.Generator) -> dict[str, float]:
    loss = correct = 0.0
    for chunk in train.epoch(rng, steps.batch_size):
        chunk_loss, chunk_correct = steps.train(chunk)
        loss, correct = loss + chunk_loss, correct + chunk_correct
    return {
        "train/loss": float(loss) / train.photos,
        "train/accuracy": float(correct) / train.photos,
    }


def learning_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """Return the learning rate of the next step, also for schedules and loss scaling."""
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))
