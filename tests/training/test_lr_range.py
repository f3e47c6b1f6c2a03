"""The LR range test: its losses, its suggestions, and that it leaves the model unchanged."""

import hashlib
import math

import numpy as np
import pytest
from helpers.features import stored
from helpers.training import clusters, softmax
from hypothesis import given, settings
from hypothesis import strategies as st

from catdog.features.feeds import Resident, Streamed
from catdog.models import head
from catdog.settings import OPTIMIZER_KEYS
from catdog.training import lr_range, optimizers
from catdog.training.fit import fit
from catdog.training.steps import Steps

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def feed(tmp_path_factory):
    return clusters(tmp_path_factory.mktemp("clusters"), n=44)


def model(**options):
    return head.build((8,), 2, **{"units": [8], "dropout": 0.4, "seed": 3, **options})


def test(steps, feed, *, low=1e-6, high=1.0, count=30, seed=1, **options):
    rng = np.random.default_rng(seed)
    return lr_range.run(steps, feed, min_lr=low, max_lr=high, count=count, rng=rng, **options)


test.__test__ = False


# === No trace ===


def digest(model):
    return hashlib.sha256(b"".join(v.numpy().tobytes() for v in model.variables)).hexdigest()


@pytest.mark.parametrize(
    ("name", "precision", "ema"),
    [*((name, "float32", None) for name in OPTIMIZER_KEYS), ("adam", "mixed_float16", 0.9)],
)
def test_training_afterwards_is_bit_for_bit_the_same(feed, name, precision, ema):
    found = []
    for tested in (False, True):
        net = model(precision=precision)

        def steps(net=net):
            made = optimizers.build(name, 0.01, precision=precision)
            return Steps(net, made, batch_size=8, ema=ema)

        before = digest(net)
        if tested:
            curve = test(steps(), feed, high=0.5, count=15)
            assert curve.loss.std() > 0.01
            assert digest(net) == before
        fitted = fit(steps(), feed, feed, epochs=3, rng=np.random.default_rng(5), patience=None)
        assert digest(net) != before
        found.append((digest(net), fitted.history))
    assert found[0] == found[1]


def test_weights_come_back_when_it_is_interrupted(feed):
    net, calls = model(), []
    before = digest(net)

    def on_step():
        calls.append(digest(net))
        if len(calls) == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        test(
            Steps(net, optimizers.build("sgd", 0.1), batch_size=8), feed, low=0.1, on_step=on_step
        )
    assert len(set(calls)) == 7
    assert digest(net) == before


# === What it measures ===


@pytest.mark.parametrize("ram", [None, 2 * 16 * 8 * 4])
def test_losses_are_those_of_single_batches(tmp_path, ram):
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(1, 44, 8)).astype(np.float32), rng.integers(0, 2, 44)
    held = stored(tmp_path, rows, labels)
    source = Streamed(held, ram) if ram else Resident(held)
    net = model(dropout=0.0)
    steps = Steps(net, optimizers.build("sgd", 1.0), batch_size=8)
    curve = test(steps, source, low=1e-30, high=1e-29, count=20)
    expected, draw = [], np.random.default_rng(1)
    while len(expected) < 20:  # six batches an epoch, the last one of four
        for chunk in source.epoch(draw, 8):
            x, y = chunk.features.numpy()[chunk.order], chunk.labels.numpy()[chunk.order]
            for start in range(0, len(y), 8):
                part = slice(start, start + 8)
                chances = softmax(net(x[part]).numpy())
                expected.append(-np.log(chances[np.arange(len(y[part])), y[part]]).mean())
    np.testing.assert_allclose(curve.loss, expected[:20], rtol=1e-4)
    np.testing.assert_allclose(curve.lr, np.geomspace(1e-30, 1e-29, 20))
    assert curve.loss.std() > 0.01
    assert not curve.diverged


def test_each_rate_is_the_one_of_its_step(feed):
    """By hand: the same batches with plain gradient descent in NumPy."""
    net = model(units=(), dropout=0.0)
    kernel, bias = (weight.numpy().astype(np.float64) for weight in net.weights)
    steps = Steps(net, optimizers.build("sgd", 1.0), batch_size=44)
    curve = test(steps, feed, low=1e-2, high=0.5, count=8)
    (features, labels), = feed.ordered()  # fmt: skip
    x, target = features[0].numpy().astype(np.float64), np.eye(2)[labels.numpy()]
    for rate, loss in zip(np.geomspace(1e-2, 0.5, 8), curve.loss, strict=True):
        chances = softmax(x @ kernel + bias)
        assert loss == pytest.approx(-(target * np.log(chances)).sum(1).mean(), rel=1e-4)
        error = (chances - target) / len(x)
        kernel, bias = kernel - rate * x.T @ error, bias - rate * error.sum(0)


def test_divergence_ends_it(feed):
    steps = Steps(model(dropout=0.0), optimizers.build("sgd", 1.0), batch_size=8)
    curve = test(steps, feed, low=1e-3, high=1e6, count=90)
    assert curve.diverged
    assert 10 < len(curve.lr) == len(curve.loss) == len(curve.smooth) < 90
    assert (curve.smooth[:-1] <= 4 * np.minimum.accumulate(curve.smooth[:-1])).all()
    last = curve.smooth[-1]
    assert not math.isfinite(last) or last > 4 * np.nanmin(curve.smooth)


def test_nan_ends_it(tmp_path):
    rows = np.ones((1, 40, 8), np.float32)
    rows[0, 17] = np.nan
    source = Resident(stored(tmp_path, rows, np.arange(40) % 2))
    steps = Steps(model(units=()), optimizers.build("sgd", 1.0), batch_size=1)
    curve = test(steps, source, low=1e-9, high=1e-8, count=60)
    assert curve.diverged
    assert np.isnan(curve.loss[-1])
    assert np.isfinite(curve.loss[:-1]).all()
    assert curve.suggestions == {} and curve.nothing
    assert np.isfinite(np.concatenate([v.numpy().ravel() for v in steps.model.weights])).all()


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_smoothing_is_the_documented_formula(losses):
    b = 0.9
    expected = [
        (1 - b) * sum(b ** (i - j) * losses[j] for j in range(i + 1)) / (1 - b ** (i + 1))
        for i in range(len(losses))
    ]
    found = lr_range.smooth(np.array(losses))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    constant = lr_range.smooth(np.full(20, losses[0]))
    np.testing.assert_allclose(constant, losses[0], rtol=1e-9, atol=1e-12)


# === Suggestions ===

LR = np.geomspace(1e-6, 1, 101)


def curve(*, flat=1.0, fall=(40, 70), floor=0.1, blow=80):
    """Return a loss that is flat, falls between two steps, stays, and blows up."""
    at = np.arange(101.0)
    down = np.clip((at - fall[0]) / (fall[1] - fall[0]), 0, 1)
    values = flat - (flat - floor) * down + 1e-9 * at
    return values + np.where(at > blow, np.expm1((at - blow) / 4), 0)


def test_suggestions_on_a_clean_curve():
    found = lr_range.suggest(LR, curve())
    lowest = LR[70]
    assert found["minimum"] == pytest.approx(lowest / 10)
    assert found["valley"] == pytest.approx(LR[55])  # half way from 40 to 70
    assert LR[40] < found["steep"] < LR[70]


def test_steep_is_where_it_is_steepest():
    at = np.arange(101.0)
    found = lr_range.suggest(LR, 1 / (1 + np.exp((at - 63) / 3)))
    assert found["steep"] == pytest.approx(LR[63])
    noisy = np.where(at < 6, 9 - at, 1) + curve()  # averaged over a handful of batches
    assert LR[40] < lr_range.suggest(LR, noisy)["steep"] < LR[70]


@pytest.mark.parametrize("fall", [(20, 60), (40, 70), (60, 90), (75, 95)])
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1])
def test_valley_lies_in_the_fall(fall, noise):
    """Wherever the fall begins: what noise does before it must not pull the valley out."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        noisy = lr_range.smooth(curve(fall=fall, blow=200) + rng.normal(0, noise, 101))
        assert LR[fall[0]] < lr_range.suggest(LR, noisy)["valley"] < LR[np.argmin(noisy)]


def test_valley_is_of_the_longest_fall_not_of_the_deepest():
    apart = np.concatenate([np.linspace(1, 0.9, 60), np.linspace(5, 2, 41)])
    assert lr_range.suggest(LR, apart)["valley"] == pytest.approx(LR[59 // 2])
    outlier = np.concatenate([[1.0, 0.01], np.linspace(1, 0.5, 99)])
    assert lr_range.suggest(LR, outlier)["valley"] == pytest.approx(LR[(2 + 100) // 2])


def measured(loss, *, diverged=False):
    """Return the curve of a test that measured these losses."""
    loss = np.asarray(loss, float)
    return lr_range.Curve(LR[: len(loss)], loss, lr_range.smooth(loss), diverged)


def noisy(values, sd=0.1, seed=0):
    return values + np.random.default_rng(seed).normal(0, sd, len(values))


FLAT = "the loss does not fall by more than its noise"
FEW = "the loss is finite in {} of {} batches only"
CURVES = {
    "flat": (np.ones(101), False, FLAT),
    "flat and noisy": (noisy(np.ones(101)), False, FLAT),
    "flat and diverging": (noisy(curve(floor=1.0), 0.05), True, f"{FLAT} before it diverges"),
    "diverging at once": ([0.7, 0.9, 2.0, 9.0, 80.0, 3e3], True, f"{FLAT} before it diverges"),
    "rising": (np.linspace(0.7, 2, 101), False, FLAT),
    "a thousandth": (np.linspace(0.7, 0.6993, 101), False, FLAT),
    "nan": (np.full(1, np.nan), True, FEW.format(0, 1)),
    "four": ([0.7, 0.6, 0.5, 0.4], False, FEW.format(4, 4)),
    "four of five": ([0.7, 0.6, 0.5, 0.4, np.inf], True, FEW.format(4, 5)),
    "nothing": ([], False, FEW.format(0, 0)),
    "five that fall": ([0.7, 0.6, 0.4, 0.3, 0.25], False, ""),
    "ten that fall": (noisy(np.linspace(0.8, 0.1, 10), 0.02), False, ""),
    "normal": (noisy(curve()), True, ""),
    "a small fall": (noisy(curve(floor=0.9), 0.02), True, ""),
}


@pytest.mark.parametrize(("loss", "diverged", "why"), CURVES.values(), ids=CURVES)
def test_a_curve_has_suggestions_or_says_why_not(loss, diverged, why):
    found = measured(loss, diverged=diverged)
    assert found.nothing == why
    assert set(found.suggestions) == (set() if why else {"valley", "steep", "minimum"})
    assert np.isfinite(list(found.suggestions.values())).all()


@pytest.mark.parametrize("count", [20, 100, 400])
def test_noise_alone_is_hardly_ever_a_fall(count):
    found = [
        lr_range.suggest(np.geomspace(1e-6, 1, count), lr_range.smooth(loss), lr_range.noise(loss))
        for loss in np.random.default_rng(0).normal(1, 0.2, (300, count))
    ]
    assert sum(map(bool, found)) <= 6


def test_a_diverged_end_does_not_matter():
    whole = curve(blow=200)
    cut = np.append(whole[:90], np.nan)
    assert lr_range.suggest(LR[:91], cut) == lr_range.suggest(LR[:90], whole[:90])


def test_csv_holds_the_curve(tmp_path):
    rates, loss = LR[:5], np.array([1.5, 1 / 3, 0.1, 7e-9, np.nan])
    lr_range.Curve(rates, loss, lr_range.smooth(loss), True).write_csv(tmp_path / "curve.csv")
    header, *lines = (tmp_path / "curve.csv").read_text().splitlines()
    assert header == "lr,loss,smooth_loss"
    read = np.array([line.split(",") for line in lines], float)
    np.testing.assert_array_equal(read.T, [rates, loss, lr_range.smooth(loss)])
