"""Runs with fine-tuning: two stages, one history, and the model of the better stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Lab, Run, rows_of, succeeded
from helpers.photos import pixels
from matplotlib.image import imread

pytestmark = pytest.mark.tensorflow

TWO = {
    "backbone__unfreeze_from": "block_13",
    "finetune__epochs": 2,
    "finetune__lr": 1e-4,
    "trainer__epochs": 2,
    "data__val_fraction": 0.3,
    "lr_range__enabled": "false",
    "tracking__log_model": "never",
}

SHADE = (242, 243, 245)
"""Background colour of the second stage: half the grid's grey on white."""

Ask = Callable[..., tuple[Run, Any]]


@pytest.fixture
def ask(lab: Lab, tracker: Any) -> Ask:
    """Run two stages in this process; return (run, outcome)."""
    from catdog import experiment
    from catdog.core.provenance import Provenance

    def run(*, memo: Any = None, watcher: Any = None, **changed: object) -> tuple[Run, Any]:
        parts = lab.parts(**{**TWO, "features__dir": cache(lab), **changed})
        outcome = experiment.run(
            *parts, tracker, provenance=Provenance(kind="trial"), memo=memo, watcher=watcher
        )
        return Run(tracker.client, tracker.client.get_run(outcome.run_id)), outcome

    return run


def predicted(run: Run) -> np.ndarray:
    rows = rows_of(run.artifacts / "evaluation/predictions.csv")
    return np.array([[float(row["cat"]), float(row["dog"])] for row in rows])


def by_the_file(run: Run, lab: Lab, *, mirrored: bool = False) -> tuple[Any, np.ndarray]:
    """Return best.keras and its predictions for the test photos, made in a tf.function."""
    import keras
    import tensorflow as tf

    whole = keras.saving.load_model(run.artifacts / "checkpoints/best.keras", compile=False)
    spec = tf.TensorSpec((None, None, None, 3), tf.uint8)
    compiled = tf.function(whole, input_signature=[spec])
    names = [row["path"] for row in rows_of(run.artifacts / "evaluation/predictions.csv")]
    shown = [pixels(lab.photos / name)[None] for name in names]
    found = np.concatenate([compiled(photo) for photo in shown])
    if mirrored:
        found = (found + np.concatenate([compiled(photo[:, :, ::-1]) for photo in shown])) / 2
    return whole, found


def names_of(whole: Any) -> list[str]:
    return [layer.name for layer in whole.layers]


def cache(lab: Lab) -> Path:
    """The feature store of this file only, because other tests count the rows in the lab's."""
    return lab.folder.parent / "cut-cache"


def recipes(lab: Lab) -> list[dict[str, Any]]:
    files = (cache(lab) / "features").glob("*/recipe.json")
    return [json.loads(path.read_text()) for path in files]


def stamps_of(lab: Lab) -> dict[Path, tuple[int, bytes]]:
    files = (cache(lab) / "features").rglob("*.bin")
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


class Listener:
    """A watcher that records epochs, and prunes the training after some."""

    def __init__(self, most: int) -> None:
        from catdog.progress import Watcher

        heard: list[int] = []

        class Own(Watcher):
            def on_epoch(self, epoch: int, metrics: Any) -> bool:
                heard.append(epoch)
                return epoch == most

        self.heard, self.watcher = heard, Own()


def test_two_stages_are_one_training(ask: Ask, lab: Lab) -> None:
    listener = Listener(most=99)
    run, outcome = ask(watcher=listener.watcher)
    assert listener.heard == [1, 2, 3, 4]
    assert [step for step, _ in run.history("val/loss")] == [1, 2, 3, 4]
    assert [rate for _, rate in run.history("lr")] == pytest.approx([3e-3, 3e-3, 1e-4, 1e-4])
    losses = [loss for _, loss in run.history("val/loss")]
    assert outcome.fitted.best_epoch == 1 + int(np.argmin(losses)) > 2
    assert run.metrics["best/val_loss"] == min(losses) == outcome.objective
    assert run.info.run_name == "mobilenet_v2 linear adam lr=3e-3, then block_13 on lr=0.0001"
    picture = np.round(255 * imread(run.artifacts / "training/curves.png")[..., :3])
    assert (picture == SHADE).all(-1).mean() > 0.03, "the ground of the second stage"
    whole, found = by_the_file(run, lab)
    assert names_of(whole)[-5:] == ["stored", "loaded", "suffix", "head", "probabilities"]
    expected = predicted(run)
    assert np.ptp(expected[:, 0]) > 0.05
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert 100_000 < outcome.parameters < whole.count_params()


@pytest.mark.slow
def test_streaming_gives_what_the_cut_gives(ask: Ask) -> None:
    cached, _ = ask()
    streamed, _ = ask(features__mode="stream")
    for name in ("train/loss", "val/loss", "test/loss", "test/auc"):
        assert streamed.history(name) == [
            (step, pytest.approx(value, abs=2e-3)) for step, value in cached.history(name)
        ], name
    np.testing.assert_allclose(predicted(streamed), predicted(cached), atol=2e-3)


@pytest.mark.slow
def test_a_trial_leaves_nothing_to_the_next(ask: Ask, lab: Lab) -> None:
    from catdog.core.memo import Memo

    memo = Memo()
    first, _ = ask(memo=memo)
    stamps = stamps_of(lab)
    other, _ = ask(memo=memo, finetune__lr=1e-2)
    second, _ = ask(memo=memo, backbone__unfreeze_from="block_13_expand")
    assert second.results() == first.results()
    assert other.results() != first.results()
    assert stamps_of(lab) == stamps
    cut = [recipe for recipe in recipes(lab) if recipe["cut"]]
    assert {recipe["cut"] for recipe in cut} == {"block_13"}
    assert len({recipe["weights"] for recipe in recipes(lab)}) == 1


@pytest.mark.slow
def test_a_second_stage_that_helps_nobody_is_not_kept(ask: Ask, lab: Lab) -> None:
    run, outcome = ask(finetune__lr=10, evaluation__tta="flip")
    assert outcome.fitted.best_epoch <= 2
    assert len(run.history("val/loss")) == 4
    whole, found = by_the_file(run, lab, mirrored=True)
    assert "suffix" not in names_of(whole)
    np.testing.assert_allclose(found, predicted(run), atol=1e-5)
    assert outcome.parameters == 2 * 1280 + 2


@pytest.mark.slow
def test_both_flips_with_views_a_schedule_and_averages(ask: Ask, lab: Lab) -> None:
    run, _ = ask(
        augment="flip",
        evaluation__tta="flip",
        schedule="warmup_cosine",
        schedule__warmup_epochs=0.5,
        trainer__ema=0.5,
        trainer__label_smoothing=0.05,
        optimizer="adamw",
    )
    views = [recipe["view"] for recipe in recipes(lab) if recipe["cut"]]
    assert sorted(views) == ["clean", "mirrored"]
    rates = [rate for _, rate in run.history("lr")]
    assert max(rates[2:]) <= 1e-4
    assert rates[1] < 1e-6 > rates[3]  # each stage anneals
    _, found = by_the_file(run, lab, mirrored=True)
    np.testing.assert_allclose(found, predicted(run), atol=1e-5)


@pytest.mark.parametrize("most", [1, 3])
def test_either_stage_may_be_pruned(ask: Ask, most: int) -> None:
    from catdog.experiment import Pruned

    listener = Listener(most)
    with pytest.raises(Pruned, match=f"after epoch {most}"):
        ask(watcher=listener.watcher)
    assert listener.heard == list(range(1, most + 1))


def test_patience_is_of_each_stage(ask: Ask) -> None:
    run, outcome = ask(
        trainer__epochs=9, trainer__patience=1, optimizer__lr=30, finetune__epochs=1
    )
    assert outcome.fitted.stopped_early
    rates = [rate for _, rate in run.history("lr")]
    assert 2 < len(rates) < 10
    assert rates == pytest.approx([30] * (len(rates) - 1) + [1e-4])


@pytest.mark.slow
def test_what_a_cut_model_saw_can_be_explained(ask: Ask, lab: Lab) -> None:

    from catdog.inference.classifier import load
    from catdog.inference.gradcam import GradCAM

    run, _ = ask()
    model = load(run.artifacts / "checkpoints/best.keras", ("cat", "dog"))
    gradcam = GradCAM(model.model)
    assert list(gradcam.centres) == [31, 63]
    shown = pixels(next(Path(lab.photos / "cat").glob("*.jpg")))[None]
    for layer in model.layers:
        shown = layer(shown)
    heat = gradcam.heat(shown, np.array([0]))
    assert heat.shape == (1, 2, 2)
    assert 0 <= heat.min() <= heat.max() <= 1


@pytest.mark.slow
def test_a_sweep_of_the_second_rate(lab: Lab) -> None:
    import mlflow

    changed = {"finetune__lr": "1e-4,1e-3", "finetune__epochs": 1}
    apart = {"tracking__experiment": "tuned", "features__dir": cache(lab)}
    words = lab.overrides(**{**TWO, **changed, **apart})
    succeeded(lab.start("tuned", "-m", "hydra.sweeper.study_name=tuned", *words))
    client = mlflow.MlflowClient(lab.uri)
    known = client.search_runs([client.get_experiment_by_name("tuned").experiment_id])
    runs = [Run(client, run) for run in known if run.data.tags["catdog.kind"] == "trial"]
    rates = [run.history("lr")[-1][1] for run in runs]
    assert sorted(rates) == pytest.approx([1e-4, 1e-3])
    first, second = (run.history("val/loss") for run in runs)
    assert first[:2] == second[:2]
    assert first[2] != second[2]
