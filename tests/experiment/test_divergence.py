"""A training whose loss is not finite any more: its run fails, and no command takes its model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from conftest import Lab, Run, ended

from catdog.errors import ConfigError
from catdog.experiment import rates
from catdog.progress import Watcher
from catdog.settings import Data, LrRange, Optimizer, Settings, Trainer
from catdog.tracking import Tracker, model_lookup, names
from catdog.training.fit import METRICS, Fitted

pytestmark = pytest.mark.tensorflow

TOO_HIGH = {
    "optimizer": "adamw", "optimizer__lr": 100, "optimizer__weight_decay": 0.9,
    "trainer__epochs": 9, "trainer__patience": "null", "lr_range__enabled": "false",
}  # fmt: skip
"""Of a run that diverges within a few epochs: each step multiplies the weights by -89."""


class Listener(Watcher):
    """Would prune every epoch that it hears of, and notes how the run ended."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.heard: list[Mapping[str, float]] = []

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        self.heard.append(metrics)
        return False

    def end_tags(self, state: str) -> dict[str, str]:
        self.states.append(state)
        return {names.STATE: state}


def failed(lab: Lab, tracker: Tracker, **changed: object) -> tuple[Run, str, Listener]:
    """Return a run that diverged, what it said, and what its watcher heard."""
    from catdog import experiment

    listener = Listener()
    with pytest.raises(ConfigError) as raised:
        experiment.run(*lab.parts(**{**TOO_HIGH, **changed}), tracker, watcher=listener)
    (known,) = tracker.find({})
    run = Run(tracker.client, tracker.client.get_run(known.run_id))
    return run, str(raised.value), listener


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"objective__metric": "val/accuracy", "objective__direction": "maximize"},
        pytest.param(
            {"trainer__monitor": "val/accuracy", "evaluation__tta": "flip", "trainer__ema": 0.9},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"trainer__precision": "mixed_float16", "head": "mlp"}, marks=pytest.mark.slow
        ),
    ],
    ids=["loss", "accuracy", "monitor, views and average", "float16"],
)
def test_a_run_that_diverges_fails_and_keeps_no_model(
    lab: Lab, tracker: Tracker, changed: Mapping[str, object]
) -> None:
    run, said, listener = failed(lab, tracker, **changed)
    losses, accuracies = dict(run.history("val/loss")), dict(run.history("val/accuracy"))
    last = max(losses)
    assert run.status == "FAILED" and listener.states == ["FAIL"]
    assert said.startswith(f"optimizer.lr=100.0: the training diverged in epoch {last} at a learn")
    assert "try `optimizer.lr=10 optimizer.clipnorm=1" in said
    assert said.endswith("trainer.precision=float32`") == ("trainer__precision" in changed)
    assert run.tags[names.DIVERGED] == str(last) and "**diverged**" in run.tags[names.NOTE]
    assert math.isnan(accuracies[last]), "the share of the first class looks like a result"
    assert len(listener.heard) == last - 1
    assert not [name for name in run.metrics if name.startswith(("best/", "test/"))]
    assert not (run.artifacts / names.CHECKPOINT).exists()
    assert (run.artifacts / "training/curves.png").stat().st_size > 0
    with pytest.raises(ConfigError, match="optimizer.clipnorm=1"):
        model_lookup.resolve(
            run.id, folder=lab.folder, uri=tracker.uri, experiment=tracker.experiment
        )


@pytest.mark.slow
def test_a_second_stage_that_diverges_names_its_own_rate(lab: Lab, tracker: Tracker) -> None:
    run, said, _ = failed(
        lab, tracker, optimizer__lr=1e-3, trainer__epochs=1, backbone__unfreeze_from="block_16",
        finetune__epochs=9, finetune__lr=100,
    )  # fmt: skip
    assert said.startswith("finetune.lr=100.0: the training diverged in epoch ")
    assert "try `finetune.lr=10 optimizer.clipnorm=1`" in said
    assert run.status == "FAILED" and not (run.artifacts / names.CHECKPOINT).exists()


@pytest.mark.slow
def test_a_trial_that_diverges_fails_and_the_study_goes_on(lab: Lab) -> None:
    words = lab.overrides(**{**TOO_HIGH, "tracking__log_model": "never"})
    words = [word for word in words if not word.startswith("optimizer.lr=")]
    accuracy = ("objective.metric=val/accuracy", "objective.direction=maximize")
    said = ended(lab.start("diverging", "-m", *words, "optimizer.lr=0.001,100", *accuracy))
    assert said.status == 0, said.err
    good, bad = (lab.found("diverging", job) for job in "01")
    assert (good.status, good.tags[names.STATE]) == ("FINISHED", "COMPLETE")
    assert (bad.status, bad.tags[names.STATE]) == ("FAILED", "FAIL")
    (parent,) = [run for run in lab.runs() if run.id == good.tags[names.PARENT]]
    assert parent.tags[names.BEST_RUN] == good.id
    assert "diverged in epoch" in said.out + said.err


# === what is said of the rate ===


def fitted(first_stage: int = 0) -> Fitted:
    history: dict[str, list[float]] = {name: [0.5, math.nan] for name in METRICS}
    return Fitted(history | {"lr": [0.2, 0.1]}, 1, False, diverged=True, first_stage=first_stage)


BASE = Settings(data=Data(name="demo"), optimizer=Optimizer(lr=0.2))
SUGGESTED = replace(BASE, lr_range=LrRange(apply="valley"))


@pytest.mark.parametrize(
    ("settings", "stage", "key", "fix"),
    [
        (BASE, 0, "optimizer.lr=0.2: the", "optimizer.lr=0.02 optimizer.clipnorm=1"),
        (replace(BASE, optimizer=Optimizer(lr=0.2, clipnorm=1)), 0, "optimizer.lr=0.2: the",
         "optimizer.lr=0.02"),
        (replace(BASE, trainer=Trainer(precision="mixed_float16")), 0, "optimizer.lr=0.2: the",
         "optimizer.lr=0.02 optimizer.clipnorm=1 trainer.precision=float32"),
        (SUGGESTED, 0, "lr_range.apply=valley: its suggestion is optimizer.lr=2.00e-01, and the",
         "lr_range.apply=null optimizer.lr=0.02 optimizer.clipnorm=1"),
        (SUGGESTED, 1, "finetune.lr=3e-05: the", "finetune.lr=3e-06 optimizer.clipnorm=1"),
    ],
)  # fmt: skip
def test_the_error_names_where_the_rate_comes_from_and_what_to_do(
    settings: Settings, stage: int, key: str, fix: str
) -> None:
    said = str(rates.diverged(settings, fitted(stage)))
    assert said.startswith(f"{key} training diverged in epoch 2 at a learning rate of 0.1 (")
    assert said.endswith(f"so it ended and keeps no model; try `{fix}`")


def test_a_suggestion_replaces_the_rate() -> None:
    found = rates.suggested(SUGGESTED, {"valley": 0.003, "steep": 0.1})
    assert (found.optimizer.lr, found.lr_range.apply) == (0.003, "valley")
    assert rates.suggested(BASE, {"valley": 0.003}) == BASE


def test_without_a_suggestion_none_is_claimed() -> None:
    found = rates.suggested(SUGGESTED, {})
    assert (found.optimizer.lr, found.lr_range.apply) == (0.2, None)


@pytest.mark.parametrize(
    ("changed", "rate", "said"),
    [
        ({"name": "cosine", "final_lr": 0.01}, 0.003, "expected at most optimizer.lr=0.003"),
        ({}, 300.0, "expected a value > 0 and <= 100"),
    ],
)
def test_a_refusal_of_a_suggested_rate_says_that_it_was_suggested(
    changed: dict[str, Any], rate: float, said: str
) -> None:
    from catdog.settings import Schedule

    settings = replace(SUGGESTED, schedule=Schedule(**changed))
    with pytest.raises(ConfigError) as raised:
        rates.suggested(settings, {"valley": rate})
    found = f"lr_range.apply=valley: the LR range test suggests optimizer.lr={rate:.2e} here"
    assert str(raised.value).startswith(found) and said in str(raised.value)
    assert str(raised.value).endswith("try `lr_range.apply=null`")
