"""Optimizers with their options, and learning rates over the steps of a training."""

import keras
import numpy as np
import pytest

from catdog.settings import OPTIMIZER_KEYS
from catdog.training import optimizers, schedules

pytestmark = pytest.mark.tensorflow

KEYS = {"weight_decay": 0.1, "momentum": 0.5, "nesterov": True, "clipnorm": 2.0}


def stepped(built, start, gradient, steps=1):
    """Return a variable after some steps along a constant gradient."""
    variable = keras.Variable(np.float32(start))
    for _ in range(steps):
        built.apply([keras.ops.convert_to_tensor(np.float32(gradient))], [variable])
    return variable.numpy()


@pytest.mark.parametrize("name", OPTIMIZER_KEYS)
def test_every_optimizer_takes_its_keys(name):
    keys = {key: KEYS[key] for key in OPTIMIZER_KEYS[name] if key != "lr"}
    built = optimizers.build(name, 0.25, **keys)
    config = built.get_config()
    assert config["learning_rate"] == 0.25
    assert {key: config[key] for key in keys} == keys
    assert config.get("weight_decay") == keys.get("weight_decay")
    assert type(built).__name__.lower() == name


@pytest.mark.parametrize("name", OPTIMIZER_KEYS)
def test_no_decay_unless_asked(name):
    """A weight without gradient stays put; None is off, for adamw as well."""
    assert stepped(optimizers.build(name, 0.1), [3.0], [0.0], steps=3) == 3.0
    if "weight_decay" in OPTIMIZER_KEYS[name]:
        decayed = stepped(optimizers.build(name, 0.1, weight_decay=0.5), [3.0], [0.0])
        np.testing.assert_allclose(decayed, 3.0 * (1 - 0.1 * 0.5), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, -0.3),
        ({"momentum": 0.5}, -0.1 - 0.15 - 0.175),
        ({"momentum": 0.5, "nesterov": True}, -0.15 - 0.175 - 0.1875),
    ],
)
def test_sgd_momentum(options, expected):
    built = optimizers.build("sgd", 0.1, **options)
    np.testing.assert_allclose(stepped(built, [0.0], [1.0], steps=3), expected, rtol=1e-6)


def test_clipnorm_bounds_the_step():
    for gradient, step in [([30.0, 40.0], [-0.3, -0.4]), ([0.03, 0.04], [-0.03, -0.04])]:
        built = optimizers.build("sgd", 1.0, clipnorm=0.5)
        np.testing.assert_allclose(stepped(built, [0.0, 0.0], gradient), step, rtol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZER_KEYS)
def test_half_precision_scales_the_loss(name):
    plain = optimizers.build(name, 0.1, clipnorm=1.0)
    scaled = optimizers.build(name, 0.1, clipnorm=1.0, precision="mixed_float16")
    assert isinstance(scaled, keras.optimizers.LossScaleOptimizer)
    assert not isinstance(plain, keras.optimizers.LossScaleOptimizer)
    scale = float(scaled.scale_loss(1.0))
    assert scale > 1000
    once = stepped(plain, [1.0, 2.0], [3.0, 0.1])
    np.testing.assert_allclose(
        stepped(scaled, [1.0, 2.0], [3.0 * scale, 0.1 * scale]), once, rtol=1e-6
    )
    assert stepped(scaled, [1.0], [np.inf]) == 1.0


# === Schedules ===

TOTAL = {"epochs": 5, "steps_per_epoch": 10}
HALF = (1 + 0.1) / 2


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("constant", {"final_lr": 0.1}, {0: 1, 25: 1, 50: 1, 99: 1}),
        ("plateau", {"final_lr": 0.1}, {0: 1, 25: 1, 50: 1, 99: 1}),
        ("cosine", {}, {0: 1, 25: 0.5, 50: 0, 99: 0}),
        ("cosine", {"final_lr": 0.1}, {0: 1, 25: HALF, 50: 0.1, 99: 0.1}),
        ("cosine", {"warmup_epochs": 2}, {0: 1, 25: 0.5, 50: 0}),
        ("warmup_cosine", {}, {0: 1, 25: 0.5, 50: 0}),
        ("warmup_cosine", {"warmup_epochs": 1}, {0: 0, 5: 0.5, 10: 1, 30: 0.5, 50: 0, 99: 0}),
        ("warmup_cosine", {"warmup_epochs": 1, "final_lr": 0.1},
         {0: 0, 5: 0.5, 10: 1, 30: HALF, 50: 0.1, 99: 0.1}),
        ("warmup_cosine", {"warmup_epochs": 0.4}, {0: 0, 1: 0.25, 2: 0.5, 4: 1, 27: 0.5, 50: 0}),
        ("warmup_cosine", {"warmup_epochs": 4.99}, {0: 0, 25: 0.5, 50: 1}),
        ("one_cycle", {"warmup_epochs": 2}, {0: 0.04, 10: 0.52, 20: 1, 35: 0.5, 50: 0, 99: 0}),
        ("one_cycle", {"warmup_epochs": 2, "final_lr": 0.1},
         {0: 0.04, 10: 0.52, 20: 1, 35: HALF, 50: 0.1, 99: 0.1}),
        ("one_cycle", {"warmup_epochs": 0}, {0: 0.04, 1: 1, 50: 0}),
        ("one_cycle", {"warmup_epochs": 4.99}, {0: 0.04, 50: 1, 51: 0}),
    ],
    ids=str,
)  # fmt: skip
def test_rates_by_step(name, options, expected):
    if "final_lr" in options:
        options = {**options, "final_lr": 0.02 * options["final_lr"]}
    rate = schedules.schedule(name, 0.02, **TOTAL, **options)
    found = {step: float(rate(step)) if callable(rate) else rate for step in expected}
    assert found == pytest.approx({step: 0.02 * x for step, x in expected.items()}, abs=1e-8)


@pytest.mark.parametrize("name", ["cosine", "warmup_cosine", "one_cycle"])
def test_rates_only_rise_and_then_only_fall(name):
    rate = schedules.schedule(name, 0.3, warmup_epochs=0.7, final_lr=1e-3, **TOTAL)
    rates = np.array([float(rate(step)) for step in range(51)])
    peak = 0 if name == "cosine" else 7
    assert rates.argmax() == peak
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()
    np.testing.assert_allclose(rates[[peak, -1]], [0.3, 1e-3], rtol=1e-5)


def test_one_cycle_survives_its_config():
    first = schedules.OneCycle(0.3, 7, 50, 1e-3)
    again = schedules.OneCycle.from_config(first.get_config())
    assert [float(again(step)) for step in range(60)] == [float(first(step)) for step in range(60)]


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_a_schedule_drives_the_optimizer(precision):
    rate = schedules.schedule("one_cycle", 0.3, warmup_epochs=1, **TOTAL)
    built = optimizers.build("sgd", rate, precision=precision)
    scale = float(built.scale_loss(1.0))
    moved = stepped(built, [0.0], [scale], steps=4)
    np.testing.assert_allclose(moved, -sum(float(rate(step)) for step in range(4)), rtol=1e-5)
