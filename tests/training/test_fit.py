"""The training loop: best epoch, early stopping, plateau, and bit-identical repetition."""

import math
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers.features import stored
from helpers.training import clusters, digest, run, steps
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catdog.features.feeds import Resident
from catdog.models import head
from catdog.training import optimizers
from catdog.training.fit import METRICS, Plateau, is_better, learning_rate
from catdog.training.steps import Steps

pytestmark = pytest.mark.tensorflow

NAN = math.nan


@pytest.fixture
def feeds(tmp_path):
    return clusters(tmp_path / "train"), clusters(tmp_path / "val", n=40, seed=1)


class Scripted(Steps):
    """Trains, but validation returns the values of a script."""

    def evaluate(self, feed):
        value = next(self.script)
        return value, value


def scripted(script, ema=None):
    made = steps(kind=Scripted, ema=ema)
    made.script = iter(script)
    return made


def test_history(feeds):
    heard = []
    fitted = run(steps(), feeds, epochs=20, on_epoch=lambda n, metrics: heard.append((n, metrics)))
    assert set(fitted.history) == set(METRICS)
    assert [epoch for epoch, _ in heard] == list(range(1, 21))
    for name in METRICS:
        assert fitted.history[name] == [metrics[name] for _, metrics in heard]
        assert fitted.at_best(name) == fitted.history[name][fitted.best_epoch - 1]
    assert fitted.best_epoch == 1 + int(np.argmin(fitted.history["val/loss"]))
    assert fitted.at_best("val/accuracy") > 0.9
    assert fitted.history["train/loss"][-1] < fitted.history["train/loss"][0] / 2
    assert not fitted.stopped_early


def test_validation_metrics_are_those_of_the_weights_kept(feeds):
    made = steps(rate=0.3)
    fitted = run(made, feeds, epochs=6)
    assert fitted.best_epoch < 6
    assert fitted.at_best("val/loss") == min(fitted.history["val/loss"])
    assert made.evaluate(feeds[1]) == (fitted.at_best("val/loss"), fitted.at_best("val/accuracy"))


@pytest.mark.parametrize(
    ("monitor", "values", "patience", "best", "epochs", "stopped"),
    [
        ("val/loss", [5, 4, 3, 2, 1], 1, 5, 5, False),
        ("val/loss", [5, 4, 4, 3, 3], 2, 4, 5, False),
        ("val/loss", [3, 2, 2, 2, 1], 2, 2, 4, True),
        ("val/loss", [3, 2, 4, 4, 4], 3, 2, 5, False),
        ("val/loss", [3, 2, 4, 4, 4], 2, 2, 4, True),
        ("val/loss", [1, 2, 3, 4, 5], 1, 1, 2, True),
        ("val/loss", [1, 2, 3, 4, 0], None, 5, 5, False),
        ("val/loss", [2, 2, 2, 2, 2], None, 1, 5, False),
        ("val/accuracy", [0.5, 0.9, 0.9, 0.8, 0.9], 3, 2, 5, False),
        ("val/accuracy", [0.5, 0.4, 0.6, 0.5, 0.5], 2, 3, 5, False),
    ],
)
@pytest.mark.parametrize("ema", [None, 0.5])
def test_best_epoch_and_patience(feeds, monitor, values, patience, best, epochs, stopped, ema):
    made, seen = scripted(values, ema), []

    def keep(epoch, metrics):
        made.swap_averages()
        seen.append(made.model.get_weights())
        made.swap_averages()

    options = {"epochs": 5, "monitor": monitor, "patience": patience, "on_epoch": keep}
    fitted = run(made, feeds, **options)
    assert (fitted.best_epoch, len(seen), fitted.stopped_early) == (best, epochs, stopped)
    assert np.abs(seen[0][0] - seen[-1][0]).max() > 1e-4
    for found, wanted in zip(made.model.get_weights(), seen[best - 1], strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("first", "second", "monitor", "patience", "best", "epochs", "stopped"),
    [
        ([3, 2], [1, 4], "val/loss", None, 3, 4, False),
        ([3, 2], [2, 2], "val/loss", None, 2, 4, False),
        ([1, 2, 9], [4, 3], "val/loss", 1, 1, 4, True),  # the first stage ended early
        ([3, 1], [4, 3, 2], "val/loss", 1, 2, 5, False),  # better and better, never the best
        ([3, 1], [4, 5, 6], "val/loss", 1, 2, 4, True),
        ([0.5, 0.6], [0.7, 0.6], "val/accuracy", None, 3, 4, False),
    ],
)
def test_a_second_stage_goes_on(feeds, first, second, monitor, patience, best, epochs, stopped):
    made, heard = scripted(first), []
    options = {"monitor": monitor, "patience": patience}
    one = run(made, feeds, epochs=len(first), on_epoch=lambda n, _: heard.append(n), **options)
    came = made.model.get_weights()
    other = Scripted(made.model, optimizers.build("adam", 1e-3), batch_size=16)
    other.script, seen = iter(second), {}

    def keep(epoch, metrics):
        heard.append(epoch)
        seen[epoch] = other.model.get_weights()

    two = run(other, feeds, epochs=len(second), on_epoch=keep, after=one, **options)
    assert heard == list(range(1, epochs + 1))
    assert (two.best_epoch, len(two.history["lr"])) == (best, epochs)
    assert two.stopped_early == stopped
    ran = len(one.history["lr"])
    assert two.history["lr"] == pytest.approx([1e-2] * ran + [1e-3] * (epochs - ran))
    for found, wanted in zip(made.model.get_weights(), seen.get(best, came), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert one.history["lr"] == pytest.approx([1e-2] * ran)


@pytest.mark.parametrize(
    ("value", "than", "monitor", "answer"),
    [(1, 2, "val/loss", True), (2, 2, "val/loss", False), (2, 1, "val/accuracy", True),
     (1, 2, "val/accuracy", False), (NAN, 1, "val/loss", False), (1, NAN, "val/loss", True),
     (NAN, NAN, "val/loss", False), (NAN, 0, "val/accuracy", False)],
)  # fmt: skip
def test_better(value, than, monitor, answer):
    assert is_better(value, than, monitor) is answer


@pytest.fixture(scope="module")
def reused(tmp_path_factory):
    """One compiled model for many short trainings."""
    feed = clusters(tmp_path_factory.mktemp("clusters"), n=4)
    return steps(kind=Scripted), (feed, feed)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    values=st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0, 5.0]), min_size=1, max_size=12),
    patience=st.integers(1, 3),
    monitor=st.sampled_from(["val/loss", "val/accuracy"]),
    least=st.sampled_from([0.0, 0.15]),
)
def test_plateau_is_keras_reduce_lr_on_plateau(reused, values, patience, monitor, least):
    made, feeds = reused
    made.script, made.optimizer.learning_rate = iter(values), 1.0
    plateau = Plateau(0.5, patience, least)
    fitted = run(made, feeds, epochs=len(values), monitor=monitor, plateau=plateau)
    callback = keras.callbacks.ReduceLROnPlateau(
        "m", factor=0.5, patience=patience, min_delta=0, min_lr=least,
        mode="max" if monitor == "val/accuracy" else "min",
    )  # fmt: skip
    other = keras.Sequential([keras.layers.Dense(1)])
    other.compile(keras.optimizers.SGD(1.0))
    callback.set_model(other)
    callback.on_train_begin()
    expected = []
    for epoch, value in enumerate(values):
        expected.append(learning_rate(other.optimizer))
        callback.on_epoch_end(epoch, {"m": value})
    assert fitted.history["lr"] == pytest.approx(expected)


def test_plateau_reaches_into_a_loss_scaling_optimizer(feeds):
    net = head.build((8,), 2, precision="mixed_float16")
    made = Scripted(net, optimizers.build("adam", 1.0, precision="mixed_float16"), batch_size=16)
    made.script = iter([1, 1, 1, 1])
    fitted = run(made, feeds, epochs=4, plateau=Plateau(0.1, 1))
    assert fitted.history["lr"] == pytest.approx([1, 1, 0.1, 0.01])


# === A loss that is not finite ===


class Scored(Steps):
    """Trains, but validation returns (loss, accuracy) of a script."""

    def evaluate(self, feed):
        return next(self.script)


@pytest.mark.parametrize("loss", [NAN, math.inf, -math.inf])
@pytest.mark.parametrize("monitor", ["val/loss", "val/accuracy"])
@pytest.mark.parametrize(("finite", "best"), [([], 0), ([3, 2, 4], 2)])
@pytest.mark.parametrize("ema", [None, 0.9])
def test_an_epoch_whose_loss_is_not_finite_is_never_the_best_and_is_the_last(
    feeds, loss, monitor, finite, best, ema
):
    made, heard, kept = steps(kind=Scored, ema=ema), [], []
    made.script = iter([*((one, 1 / one) for one in finite), (loss, 0.99), (0.1, 1.0)])

    def keep(epoch, metrics):
        heard.append(epoch)
        made.swap_averages()
        kept.append(made.model.get_weights())
        made.swap_averages()
        return False

    fitted = run(made, feeds, epochs=9, monitor=monitor, on_epoch=keep)
    assert (fitted.diverged, fitted.pruned, fitted.stopped_early) == (True, False, False)
    assert (fitted.best_epoch, len(fitted.history["lr"])) == (best, len(finite) + 1)
    assert heard == [*range(1, len(finite) + 1)], "neither a pruner nor a person hears 0.99"
    last = {name: values[-1] for name, values in fitted.history.items()}
    assert math.isnan(last["train/accuracy"]) and math.isnan(last["val/accuracy"])
    assert repr(last["val/loss"]) == repr(loss)
    best_weights = kept[best - 1] if kept else []
    for found, wanted in zip(made.model.get_weights(), best_weights, strict=False):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize(("name", "rate"), [("sgd", 1e30), ("adam", 1e38)])
def test_a_rate_that_is_far_too_high_ends_the_training(feeds, precision, name, rate):
    net = head.build((8,), 2, units=(8,), precision=precision)
    made = Steps(net, optimizers.build(name, rate, precision=precision), batch_size=16)
    fitted = run(made, feeds, epochs=9)
    assert fitted.diverged
    assert len(fitted.history["lr"]) < 9
    assert not np.isfinite([fitted.history[name][-1] for name in ("train/loss", "val/loss")]).all()


def test_features_that_are_not_finite_end_it_in_the_first_epoch(tmp_path):
    rows = np.full((1, 20, 8), np.inf, np.float32)
    feed = Resident(stored(tmp_path, rows, np.arange(20) % 2))
    fitted = run(steps(units=()), (feed, feed), epochs=9, patience=2)
    assert (fitted.diverged, fitted.best_epoch, len(fitted.history["lr"])) == (True, 0, 1)


@pytest.mark.parametrize(("first", "second"), [([2.0, 3.0], [NAN]), ([NAN], [])])
def test_a_second_stage_may_diverge_and_an_earlier_model_stays(feeds, first, second):
    made = scripted([*first, *second])
    one = run(made, feeds, epochs=len(first))
    assert one.diverged == (not second)
    if second:
        before = made.model.get_weights()
        two = run(made, feeds, epochs=3, after=one)
        assert (two.diverged, two.best_epoch, two.first_stage) == (True, 1, 2)
        for found, wanted in zip(made.model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_on_epoch_may_end_the_training(feeds):
    def prune(epoch, metrics):
        if epoch == 2:
            raise KeyboardInterrupt

    made = steps()
    with pytest.raises(KeyboardInterrupt):
        run(made, feeds, on_epoch=prune)
    assert int(made.optimizer.iterations) == 2 * 6


def test_averaged_weights_are_the_ones_scored_and_kept(feeds):
    made, plain = steps(ema=0.9), steps()
    fitted, other = run(made, feeds, epochs=1), run(plain, feeds, epochs=1)
    assert fitted.history["train/loss"] == other.history["train/loss"]
    assert fitted.history["val/loss"] != other.history["val/loss"]
    assert made.evaluate(feeds[1])[0] == fitted.at_best("val/loss")


# === The same bits ===


CHILD = """
import sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from helpers.features import stored
from helpers.training import digest
print(digest(Path(sys.argv[1])))
"""


def test_same_seed_same_weights_on_any_number_of_threads(tmp_path):
    code = CHILD.format(tests=str(Path(__file__).parents[1]))
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / threads)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "TF_NUM_INTRAOP_THREADS": threads},
        )
        for threads in ("1", "2")
    ]  # fmt: skip
    here = [digest(tmp_path / name) for name in ("a", "b")]
    found = [child.communicate(timeout=120)[0].strip() for child in children]
    assert found == here
    assert here[0] == here[1] != digest(tmp_path / "c", seed=1)
