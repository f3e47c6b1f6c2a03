"""The compiled steps: the same as Keras' own training steps and as NumPy's metrics."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.features import stored
from helpers.training import model, softmax

from catdog.features.feeds import Chunk, Resident
from catdog.training import optimizers
from catdog.training.steps import Steps, count_correct, log_probabilities

pytestmark = pytest.mark.tensorflow

RNG = np.random.default_rng(0)
N = 23
X = RNG.normal(size=(N, 6)).astype(np.float32)
Y = RNG.integers(0, 3, N).astype(np.int32)


def chunk(order=None, x=X):
    order = np.arange(N) if order is None else order
    return Chunk(tf.constant(x), tf.constant(Y), np.asarray(order, np.int32))


def cross_entropy(logits, labels, *, smoothing=0.0, weights=(1, 1, 1)):
    """Return each row's loss, in double precision."""
    target = np.eye(3)[labels] * (1 - smoothing) + smoothing / 3
    logits = logits.astype(np.float64)
    return -(target * np.log(softmax(logits))).sum(1) * np.asarray(weights)[labels]


@pytest.mark.parametrize(
    ("name", "keys", "options", "precision"),
    [
        ("sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, {}, "float32"),
        ("adam", {"clipnorm": 0.1}, {"label_smoothing": 0.1}, "float32"),
        ("adamw", {"weight_decay": 0.1}, {"class_weights": [0.5, 2, 1]}, "float32"),
        ("lion", {}, {"label_smoothing": 0.2, "class_weights": [3, 1, 0.5]}, "float32"),
        ("adam", {}, {"label_smoothing": 0.2, "class_weights": [3, 1, 0.5]}, "mixed_float16"),
    ],
)
def test_steps_are_those_of_keras(name, keys, options, precision):
    ours, theirs = (model(dropout=0.3, precision=precision) for _ in range(2))
    first, second = (optimizers.build(name, 0.01, precision=precision, **keys) for _ in range(2))
    theirs.compile(
        second,
        keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=options.get("label_smoothing", 0.0)
        ),
        jit_compile=False,
    )
    weights = options.get("class_weights")
    for start in (0, 8, 16):
        x, y = X[start : start + 8], Y[start : start + 8]
        theirs.train_on_batch(x, np.eye(3)[y], class_weight=weights and dict(enumerate(weights)))
    before = [weight.numpy() for weight in ours.weights]
    Steps(ours, first, batch_size=8, **options).train(chunk())
    for mine, other, start in zip(ours.weights, theirs.weights, before, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-6)
        assert np.abs(mine.numpy() - start).max() > 1e-4


@pytest.mark.parametrize(
    ("smoothing", "weights"), [(0.0, None), (0.2, None), (0.0, [2, 1, 0.5]), (0.1, [2, 1, 0.5])]
)
@pytest.mark.parametrize("batch_size", [1, 5, 23, 100])
def test_training_metrics_are_sums_over_the_photos(batch_size, smoothing, weights):
    steps = Steps(
        model(), optimizers.build("sgd", 0.0), batch_size=batch_size,
        label_smoothing=smoothing, class_weights=weights,
    )  # fmt: skip
    order = np.random.default_rng(1).permutation(N)[:17]
    loss, correct = steps.train(chunk(order))
    logits = steps.model(X[order]).numpy()
    rows = cross_entropy(logits, Y[order], smoothing=smoothing, weights=weights or (1, 1, 1))
    assert float(loss) == pytest.approx(rows.sum(), rel=1e-5)
    assert float(correct) == (logits.argmax(1) == Y[order]).sum()


def test_rows_train_in_their_order():
    results = []
    for order in (np.arange(N), np.arange(N)[::-1]):
        together, apart = (
            Steps(model(), optimizers.build("sgd", 0.5), batch_size=4) for _ in range(2)
        )
        together.train(chunk(order))
        for start in range(0, N, 4):
            rows = order[start : start + 4]
            apart.step(tf.constant(X[rows]), tf.constant(Y[rows]))
        for mine, other in zip(together.model.weights, apart.model.weights, strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-6)
        results.append(together.model.weights[0].numpy())
    assert np.abs(results[0] - results[1]).max() > 1e-3


def test_half_features_train_like_their_float32_values():
    narrow = X.astype(np.float16)
    one, two = (Steps(model(), optimizers.build("adam", 0.1), batch_size=8) for _ in range(2))
    one.train(chunk(x=narrow))
    two.train(chunk(x=narrow.astype(np.float32)))
    for mine, other in zip(one.model.weights, two.model.weights, strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("n", [1, 255, 256, 600])
def test_evaluation_is_plain_cross_entropy(tmp_path, n, views):
    rng = np.random.default_rng(n)
    rows = rng.normal(size=(views, n, 6)).astype(np.float32)
    labels = rng.integers(0, 3, n)
    steps = Steps(
        model(dropout=0.5), optimizers.build("adam", 0.1), batch_size=8,
        label_smoothing=0.3, class_weights=[5, 1, 1],
    )  # fmt: skip
    loss, accuracy = steps.evaluate(Resident(stored(tmp_path, rows, labels)))
    mean = np.mean([softmax(steps.model(part).numpy()) for part in rows], 0)
    assert loss == pytest.approx(-np.log(mean[np.arange(n), labels]).mean(), rel=1e-5)
    assert accuracy == pytest.approx((mean.argmax(1) == labels).mean())


def test_log_probabilities_average_probabilities_over_views():
    rows = np.stack([X, -X, 2 * X])
    net = model()
    expected = np.mean([softmax(net(part).numpy()) for part in rows], 0)
    found = np.exp(log_probabilities(net, tf.constant(rows)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    far = np.full((1, 1, 6), 1e5, np.float32)
    assert np.isfinite(log_probabilities(net, tf.constant(far))).all()


def test_count_correct():
    scores = tf.constant([[0.1, 0.9], [0.8, 0.2], [0.5, 0.5]])
    assert float(count_correct(scores, tf.constant([1, 0, 1]))) == 2


def test_moving_average_of_the_weights():
    steps = Steps(model(), optimizers.build("sgd", 0.5), batch_size=4, ema=0.3)
    plain = Steps(model(), optimizers.build("sgd", 0.5), batch_size=4)
    expected = [weight.numpy().astype(np.float64) for weight in plain.model.weights]
    for step, start in enumerate(range(0, N, 4), 1):
        rows = np.arange(start, min(start + 4, N))
        steps.train(chunk(rows))
        plain.train(chunk(rows))
        decay = min(0.3, (1 + step) / (10 + step))
        expected = [
            decay * average + (1 - decay) * weight.numpy()
            for average, weight in zip(expected, plain.model.weights, strict=True)
        ]
    raw = [weight.numpy() for weight in plain.model.weights]
    for wanted in (raw, expected, raw, expected):
        for weight, value in zip(steps.model.weights, wanted, strict=True):
            np.testing.assert_allclose(weight, value, atol=1e-6)
        steps.swap_averages()
    plain.swap_averages()
    for weight, value in zip(plain.model.weights, raw, strict=True):
        np.testing.assert_array_equal(weight, value)
