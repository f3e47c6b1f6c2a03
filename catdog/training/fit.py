"""The training loop: epochs, early stopping, the best weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from catdog.features.feeds import Feed
from catdog.training.steps import Steps

METRICS = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "lr")


@dataclass(frozen=True)
class Fitted:
    """What a training gave.

    Attributes:
        history: Each of ``METRICS`` by epoch.
        best_epoch: The epoch (from 1) whose weights the model now has; ties go to the earlier.
        stopped_early: Whether patience ran out, in any stage.
        pruned: Whether ``on_epoch`` ended it.
        first_stage: Epochs of the stage before, if this is the second; else 0.
    """

    history: dict[str, list[float]]
    best_epoch: int
    stopped_early: bool
    pruned: bool = False
    first_stage: int = 0

    def at_best(self, metric: str) -> float:
        """Return a metric of the best epoch."""
        return self.history[metric][self.best_epoch - 1]


@dataclass(frozen=True)
class Plateau:
    """Multiply the rate by ``factor`` after ``patience`` epochs without improvement.

    As Keras' ReduceLROnPlateau; the rate never falls below ``least``.
    """

    factor: float
    patience: int
    least: float = 0.0


def better(value: float, than: float, monitor: str) -> bool:
    """Tell whether a value of ``monitor`` is strictly better; NaN never is."""
    if math.isnan(than):
        return not math.isnan(value)
    return value > than if monitor.endswith("accuracy") else value < than


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
    """Train, and leave the model with the weights of its best epoch.

    Args:
        steps: The compiled model and optimizer.
        train: Training photos.
        val: Validation photos.
        epochs: Most epochs, at least 1.
        rng: Draws the order of the photos and their views.
        monitor: ``val/loss`` or ``val/accuracy``; best epoch, patience and plateau follow it.
        patience: Stop after this many epochs without improvement; null never stops early.
        plateau: Lower the learning rate when stuck; null leaves it to the schedule.
        on_epoch: Hears of each epoch (from 1) and its metrics; true gives the training up.
        after: The stage that came before. The history goes on, epochs are counted on, and weights
            are kept only if they beat its best: if none do, the model has those it came with.
            Patience and plateau look at this stage alone.

    Returns:
        The history and the best epoch. A training whose every epoch is NaN keeps its first.
    """
    history = {name: list(after.history[name]) if after else [] for name in METRICS}
    ran = len(history["lr"])
    kept, best_epoch = (after.at_best(monitor), after.best_epoch) if after else (math.nan, 0)
    best_weights = steps.model.get_weights() if after else None
    best, stuck, stopped, pruned = math.nan, 0, False, False
    for epoch in range(ran + 1, ran + epochs + 1):
        metrics = _epoch(steps, train, rng)
        steps.swap_averages()
        metrics["val/loss"], metrics["val/accuracy"] = steps.evaluate(val)
        metrics["lr"] = learning_rate(steps.optimizer)
        if better(metrics[monitor], kept, monitor) or best_weights is None:
            kept, best_epoch = metrics[monitor], epoch
            best_weights = steps.model.get_weights()
        if better(metrics[monitor], best, monitor) or epoch == ran + 1:
            best, stuck = metrics[monitor], 0
        else:
            stuck += 1
        steps.swap_averages()
        for name in METRICS:
            history[name].append(metrics[name])
        pruned = on_epoch(epoch, metrics)
        if plateau and stuck and stuck % plateau.patience == 0:
            lower = max(metrics["lr"] * plateau.factor, plateau.least)
            steps.optimizer.learning_rate = lower
        stopped = patience is not None and stuck >= patience and epoch < ran + epochs
        if stopped or pruned:
            break
    steps.model.set_weights(best_weights)
    early = stopped or (after is not None and after.stopped_early)
    return Fitted(history, best_epoch, early, pruned, first_stage=ran)


def _epoch(steps: Steps, train: Feed, rng: np.random.Generator) -> dict[str, float]:
    loss = correct = 0.0
    for chunk in train.epoch(rng, steps.batch_size):
        chunk_loss, chunk_correct = steps.train(chunk)
        loss, correct = loss + chunk_loss, correct + chunk_correct
    return {
        "train/loss": float(loss) / train.photos,
        "train/accuracy": float(correct) / train.photos,
    }


def learning_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """Return the rate of the next step, also of a scheduled or loss-scaling optimizer."""
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))
