"""Compiled steps of training, validation and the LR range test.

``Model.fit`` spends most of the time of a small head on overhead. Here one call of a
``tf.function`` trains on a whole chunk of an epoch. Models, losses, schedules and optimizers are
those of Keras, unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from catdog.features.feeds import Chunk, Feed

EVALUATION_ROWS = 256
"""Rows per batch of an evaluation."""

Sums = tuple[tf.Tensor, tf.Tensor]
"""Loss and number of correctly classified rows."""


class Steps:
    """Compiled training and evaluation of one model with one optimizer.

    Args:
        model: Model from features to (N, classes) logits.
        optimizer: A Keras optimizer that is not built yet.
        batch_size: Rows per training step, at least 1.
        label_smoothing: In [0, 1); for the training loss only.
        class_weights: (classes,) weights in the training loss; None weighs all classes equally.
        ema: Decay of an exponential moving average of the weights, in (0, 1), updated after every
            step [1]; None keeps no average. After step t the decay is ``(1 + t) / (10 + t)``
            where that is lower, as in TensorFlow's ``ExponentialMovingAverage``: else the initial
            weights would be most of the average until ``1 / (1 - ema)`` steps have passed.

    References:
        [1] Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging".

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> steps = Steps(model, keras.optimizers.SGD(0.1), batch_size=2)
    >>> chunk = Chunk(tf.zeros((3, 4)), tf.constant([0, 1, 0]), np.array([2, 0, 1], np.int32))
    >>> loss, correct = steps.train(chunk)
    >>> float(correct)
    2.0
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        *,
        batch_size: int,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        ema: float | None = None,
    ) -> None:
        self.model, self.optimizer, self.batch_size = model, optimizer, batch_size
        self._classes = model.output_shape[-1]
        weights = np.ones(self._classes) if class_weights is None else np.asarray(class_weights)
        self._class_weights = tf.constant(weights, tf.float32)
        self._loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=label_smoothing
        )
        optimizer.build(model.trainable_variables)
        self._decay, self._taken = ema or 0.0, tf.Variable(0.0, trainable=False)
        variables = [variable.value for variable in model.trainable_variables]
        self._averages = [tf.Variable(v, trainable=False) for v in variables] if ema else []
        # without autograph, which writes a file into the temporary folder for each function
        self._train = tf.function(self._train_rows, reduce_retracing=True, autograph=False)
        self._evaluate = tf.function(self._evaluate_rows, reduce_retracing=True, autograph=False)

    def train(self, chunk: Chunk) -> tuple[tf.Tensor, tf.Tensor]:
        """Train on a chunk, in its order.

        Returns:
            Sum of the rows' losses and number of correctly classified rows, scalar float32 each;
            both are computed before the step that the row is part of.
        """
        return self._train(chunk.features, chunk.labels, tf.constant(chunk.order))

    def _train_rows(
        self, features: tf.Tensor, labels: tf.Tensor, order: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        def add(start: tf.Tensor, loss: tf.Tensor, correct: tf.Tensor) -> Sums:
            batch = order[start : start + self.batch_size]
            y = tf.gather(labels, batch)
            batch_loss, logits = self.step(tf.gather(features, batch), y)
            count = tf.cast(tf.shape(batch)[0], tf.float32)
            return loss + batch_loss * count, correct + count_correct(logits, y)

        return _over_rows(tf.shape(order)[0], self.batch_size, add)

    def step(self, features: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Take one optimizer step.

        Args:
            features: (N, *shape), any float dtype.
            labels: (N,) int32 class indices.

        Returns:
            Mean loss of the batch and its (N, classes) logits, both from before the step.
        """
        variables = self.model.trainable_variables
        target = tf.one_hot(labels, self._classes)
        with tf.GradientTape() as tape:
            logits = self.model(tf.cast(features, tf.float32), training=True)
            weights = tf.gather(self._class_weights, labels)
            loss = self._loss(target, logits, sample_weight=weights)
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, [variable.value for variable in variables])
        self.optimizer.apply(gradients, variables)
        if self._averages:
            self._average(variables)
        return loss, logits

    def _average(self, variables: Sequence[keras.Variable]) -> None:
        taken = self._taken.assign_add(1.0)
        decay = tf.minimum(self._decay, (1.0 + taken) / (10.0 + taken))
        for average, variable in zip(self._averages, variables, strict=True):
            average.assign(decay * average + (1.0 - decay) * variable.value)

    def evaluate(self, feed: Feed) -> tuple[float, float]:
        """Compute cross-entropy and accuracy over all photos of a feed.

        The probabilities of a photo's views are averaged. Label smoothing and class weights do
        not apply.
        """
        parts = [self._evaluate(features, labels) for features, labels in feed.ordered()]
        loss, correct = (sum(float(part[i]) for part in parts) for i in (0, 1))
        return loss / feed.photos, correct / feed.photos

    def _evaluate_rows(
        self, features: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        def add(start: tf.Tensor, loss: tf.Tensor, correct: tf.Tensor) -> Sums:
            rows = slice(start, start + EVALUATION_ROWS)
            y = labels[rows]
            logs = log_probabilities(self.model, features[:, rows])
            more = tf.reduce_sum(tf.gather(logs, y, batch_dims=1))
            return loss - more, correct + count_correct(logs, y)

        return _over_rows(tf.shape(labels)[0], EVALUATION_ROWS, add)

    def swap_averages(self) -> None:
        """Exchange the weights and their moving average, if there is one."""
        for average, variable in zip(self._averages, self.model.trainable_variables, strict=False):
            current = tf.identity(variable.value)
            variable.assign(average)
            average.assign(current)


def _over_rows(rows: tf.Tensor, size: int, add: Callable[..., Sums]) -> Sums:
    """Call ``add`` for the start of each batch, with the sums of loss and hits so far."""

    def body(start: tf.Tensor, loss: tf.Tensor, correct: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return start + size, *add(start, loss, correct)

    sums = (tf.constant(0), tf.constant(0.0), tf.constant(0.0))
    _, loss, correct = tf.while_loop(lambda start, *_: start < rows, body, sums)
    return loss, correct


def log_probabilities(model: keras.Model, features: tf.Tensor) -> tf.Tensor:
    """Compute the logarithm of each photo's class probabilities, averaged over its views.

    Args:
        model: Model from features to (n, classes) logits.
        features: (views, n, *shape), any float dtype.

    Returns:
        (n, classes) float32.

    >>> identity = keras.Sequential([keras.Input((2,)), keras.layers.Activation("linear")])
    >>> tf.exp(log_probabilities(identity, tf.zeros((2, 1, 2)))).numpy().tolist()
    [[0.5, 0.5]]
    """
    views = features.shape[0]
    logs = [
        tf.nn.log_softmax(model(tf.cast(features[view], tf.float32), training=False))
        for view in range(views)
    ]
    return tf.reduce_logsumexp(tf.stack(logs), 0) - np.log(views) if views > 1 else logs[0]


def count_correct(scores: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Count the photos whose highest score is that of their label.

    Args:
        scores: (n, classes) logits or probabilities.
        labels: (n,) int32 class indices.

    Returns:
        Scalar float32.

    >>> float(count_correct(tf.constant([[0.9, 0.1], [0.8, 0.2]]), tf.constant([0, 1])))
    1.0
    """
    hits = tf.equal(tf.argmax(scores, 1, output_type=tf.int32), labels)
    return tf.reduce_sum(tf.cast(hits, tf.float32))


def predict(model: keras.Model, feed: Feed) -> np.ndarray:
    """Compute the class probabilities of a feed's photos, averaged over their views.

    Args:
        model: Model from features to (n, classes) logits.
        feed: The photos.

    Returns:
        (n, classes) float32, in the feed's order.
    """
    compute = tf.function(
        lambda x: tf.exp(log_probabilities(model, x)), reduce_retracing=True, autograph=False
    )
    parts = []
    for features, _ in feed.ordered():
        step = max(1, 2**24 // int(np.prod(feed.shape)))  # at most 64 MiB of float32 at once
        if len(feed.shape) > 1:  # a feature map still has to pass the network's suffix
            step = min(step, EVALUATION_ROWS)
        for start in range(0, features.shape[1], step):
            parts.append(compute(features[:, start : start + step]).numpy())
    return np.concatenate(parts)
