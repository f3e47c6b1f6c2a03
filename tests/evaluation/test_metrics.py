"""Scores, against cases counted by hand."""

import csv
import math

import numpy as np
import pytest
from helpers.features import part, stored
from helpers.training import model, softmax

from catdog.evaluation import metrics
from catdog.features.feeds import Resident, Streamed
from catdog.models import head
from catdog.training import steps

pytestmark = pytest.mark.tensorflow


def two(*of_second):
    """Return two-class probabilities from those of the second class."""
    second = np.array(of_second)
    return np.stack([1 - second, second], 1)


@pytest.mark.parametrize(
    ("probabilities", "labels", "ece"),
    [
        # bins of 1/15: 0.95 and 0.97 share [14/15, 1], one of two is right: |0.5 - 0.96|
        (two(0.95, 0.97), [1, 0], 0.46),
        # 0.61 and 0.65 in [9/15, 10/15), 0.9 in [13/15, 14/15): (2 |1 - 0.63| + |0 - 0.9|) / 3
        (two(0.61, 0.35, 0.9), [1, 0, 0], (2 * 0.37 + 0.9) / 3),
        (two(0.61, 0.68), [1, 0], (0.39 + 0.68) / 2),  # 10/15 lies between them
        (two(1.0, 0.0, 1.0), [1, 0, 1], 0),
        (two(1.0, 1.0), [0, 0], 1),
        (np.full((4, 4), 0.25), [0, 1, 2, 3], 0),
    ],
)
def test_ece(probabilities, labels, ece):
    found = metrics.expected_calibration_error(probabilities, np.array(labels))
    assert found == pytest.approx(ece, abs=1e-9)


@pytest.mark.parametrize(
    ("probabilities", "labels", "auc"),
    [
        (two(0.1, 0.4, 0.35, 0.8), [0, 0, 1, 1], 0.75),
        (two(0.9, 0.8, 0.2), [0, 0, 1], 0),
        (two(0.5, 0.5), [0, 1], 0.5),
        # one-vs-rest, by hand: class 0 wins 2 of 2 pairs, 1 wins 2 of 2, 2 wins 1 of 2
        ([[0.8, 0.1, 0.1], [0.1, 0.6, 0.3], [0.3, 0.5, 0.2]], [0, 1, 2], (1 + 1 + 0.5) / 3),
        # two photos of class 0: 3 of 4 pairs, 3 of 3, 2 of 3; each class counts alike
        (
            [[0.8, 0.1, 0.1], [0.2, 0.3, 0.5], [0.1, 0.7, 0.2], [0.3, 0.4, 0.3]],
            [0, 0, 1, 2],
            (3 / 4 + 3 / 3 + 2 / 3) / 3,
        ),
        ([[0.8, 0.1, 0.1], [0.1, 0.6, 0.3]], [0, 1], math.nan),
        (two(0.3, 0.4), [1, 1], math.nan),
        (two(0.3, math.nan), [1, 0], math.nan),
    ],
)
def test_auc(probabilities, labels, auc):
    scores = metrics.score(np.array(probabilities, np.float32), np.array(labels))
    assert scores.auc == pytest.approx(auc, nan_ok=True)


def test_loss_and_accuracy():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [1, 0, 0]], np.float32)
    scores = metrics.score(probabilities, np.array([0, 1, 0]))
    assert scores.loss == pytest.approx(-(math.log(0.7) + math.log(0.3)) / 3, rel=1e-6)
    assert scores.accuracy == pytest.approx(2 / 3)
    certain = metrics.score(np.array([[1, 0]], np.float32), np.array([1]))
    assert 80 < certain.loss < 90


def test_confusion_rows_are_true():
    probabilities = np.eye(3)[[0, 0, 1, 1]]
    table = metrics.confusion(probabilities, np.array([0, 1, 1, 1]))
    np.testing.assert_array_equal(table, [[1, 0, 0], [1, 2, 0], [0, 0, 0]])


def test_worst_mistakes_come_first():
    probabilities = two(0.9, 0.2, 0.6, 0.99, 0.1, 0.9)
    labels = np.array([0, 0, 0, 1, 1, 0])
    assert list(metrics.worst_mistakes(probabilities, labels)) == [0, 4, 5, 2]
    assert list(metrics.worst_mistakes(probabilities, labels, most=2)) == [0, 4]
    assert len(metrics.worst_mistakes(probabilities[3:4], labels[3:4])) == 0


def test_csv_holds_every_float32(tmp_path):
    rng = np.random.default_rng(0)
    probabilities = softmax(rng.normal(size=(200, 3)) * 20).astype(np.float32)
    names = [f'cat, "{i}"/ö.jpg' for i in range(200)]
    labels = rng.integers(0, 3, 200)
    path = tmp_path / "predictions.csv"
    metrics.write_predictions(path, names, ["a", "b", "c"], labels, probabilities)
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["path", "label", "class", "probability", "a", "b", "c"]
    assert [row[0] for row in rows] == names
    assert [row[1] for row in rows] == ["abc"[label] for label in labels]
    read = np.array([row[4:] for row in rows]).astype(np.float32)
    np.testing.assert_array_equal(read, probabilities)
    assert [row[2] for row in rows] == ["abc"[i] for i in probabilities.argmax(1)]
    np.testing.assert_array_equal([np.float32(row[3]) for row in rows], probabilities.max(1))


@pytest.mark.parametrize("views", [1, 2, 3])
@pytest.mark.parametrize("ram", [None, 900])
def test_predictions_are_mean_probabilities(tmp_path, views, ram):
    rows = np.random.default_rng(0).normal(size=(3, 50, 6)).astype(np.float16)
    held = part(stored(tmp_path, rows, np.zeros(50)), 50, views)
    net = model(dropout=0.5)
    found = steps.predict(net, Streamed(held, ram) if ram else Resident(held))
    each = [softmax(net(x.astype(np.float32)).numpy()) for x in rows[:views]]
    np.testing.assert_allclose(found, np.mean(each, 0), rtol=1e-4)
    assert (found.dtype, found.shape) == (np.float32, (50, 3))


def test_wide_features_are_predicted_piece_by_piece(tmp_path):
    """Four rows at a time here, so that float32 copies of a flat feature map stay small."""
    rows = np.zeros((1, 9, 2**22), np.float16)
    rows[0, :, 0] = np.arange(9)
    net = head.build(rows.shape[2:], 2)
    kernel = net.weights[0].numpy()
    found = steps.predict(net, Resident(stored(tmp_path, rows, np.zeros(9))))
    np.testing.assert_allclose(found, softmax(rows[0, :, :1] @ kernel[:1]), rtol=1e-5)
