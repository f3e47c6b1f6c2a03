"""What a run logs to MLflow.

The names of metrics, params and artifacts are an interface: commands and users' scripts read them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from catdog.core import provenance
from catdog.core.paths import without_password
from catdog.core.provenance import Commit, Provenance
from catdog.data.manifest import Manifest, Photo
from catdog.errors import shown
from catdog.evaluation.metrics import (
    Scores,
    confusion,
    of_few,
    worst_mistakes,
    write_predictions,
)
from catdog.experiment import description
from catdog.models.pretrained import Weights
from catdog.plots import montage, png
from catdog.plots.evaluation import confusion_png
from catdog.plots.html import curves_html, lr_range_html
from catdog.settings import Settings
from catdog.tracking import logged_model
from catdog.tracking.names import DIVERGED, NOTE
from catdog.tracking.run import Run
from catdog.training.fit import Fitted
from catdog.training.lr_range import Curve

FLUSH_SECONDS = 1.0
"""Least time between two requests with the metrics of epochs."""


def describe(
    run: Run,
    settings: Settings,
    manifest: Manifest,
    weights: Weights,
    source: Provenance,
    state: Commit,
) -> None:
    """Log params, the data set's identity, configuration, environment and description.

    Args:
        run: The MLflow run.
        settings: All settings.
        manifest: The photos.
        weights: The backbone's weights.
        source: The command and the sweep that started the run.
        state: The commit of the code, and its uncommitted changes.
    """
    digest, counts = manifest.digest, manifest.counts
    later = {"optimizer.lr"} if settings.lr_range.apply else set()  # MLflow's params do not change
    leaves = {k: v for k, v in description.leaves(settings) if k not in later}
    run.params(
        {
            **{k: source.hidden.get(k, v) for k, v in leaves.items()},
            "backbone.weights_from": f"{weights.source} {weights.detail}".strip(),
            "backbone.weights_sha256": weights.sha256 or "none",
            "data.digest": digest,
            **{f"data.photos.{split}": count for split, count in counts.items()},
            "data.skipped": len(manifest.skipped),
            "data.dropped": manifest.dropped,
        }
    )
    run.tags({NOTE: description.note(settings, manifest, source, "not yet")})
    profile = json.dumps({**counts, "classes": list(manifest.classes)})
    run.dataset(
        settings.data.name,
        digest,
        profile,
        without_password(json.dumps({"path": str(manifest.root)})),
    )
    with run.folder("data") as place:
        manifest.write(place)
    with run.folder("config") as place:
        (place / "resolved.yaml").write_text(
            source.resolved or without_password(description.as_yaml(settings))
        )
        masked = [without_password(override) for override in source.overrides]
        lines = [f"- {json.dumps(override)}\n" for override in masked]
        (place / "overrides.yaml").write_text("".join(lines) or "[]\n")
        (place / "environment.txt").write_text(without_password(provenance.environment()))
        if state.dirty:
            (place / "uncommitted.patch").write_text(without_password(state.patch, code=True))


def conclude(
    run: Run,
    settings: Settings,
    manifest: Manifest,
    source: Provenance,
    fitted: Fitted,
    scores: Scores | None,
) -> None:
    """Write the result into the run's description.

    Args:
        run: The MLflow run.
        settings: All settings.
        manifest: The photos.
        source: The command and the sweep that started the run.
        fitted: The training's history and best epoch.
        scores: Scores on the test photos; None for a training that was pruned or diverged.
    """
    ran = len(fitted.history["lr"])
    if fitted.diverged:
        run.tags({DIVERGED: str(ran)})
        result = f"**diverged** in epoch {ran}: its loss is not finite, and no model is kept"
        return run.tags({NOTE: description.note(settings, manifest, source, result)})
    best = f"loss {fitted.at_best('val/loss'):.4f}, accuracy {fitted.at_best('val/accuracy'):.4f}"
    best += of_few(manifest.counts["val"])
    result = f"best epoch {fitted.best_epoch} of {ran}; validation {best}; "
    if scores is None:
        result += f"pruned after epoch {ran}"
    else:
        photos = manifest.counts["test"]
        result += f"test **accuracy {scores.accuracy:.4f}** of {photos:,} photos"
    if rule := settings.lr_range.apply:
        result += f"; at the {rule} rate of the LR range test, {settings.optimizer.lr:.2e}"
    run.tags({NOTE: description.note(settings, manifest, source, result)})


def lr_range(run: Run, curve: Curve, settings: Settings, *, html: bool = True) -> None:
    """Log the LR range test: metrics by step, suggestions and pictures of the curve.

    Args:
        run: The MLflow run.
        curve: The result of the test.
        settings: All settings, with the learning rate of the training.
        html: Whether to write the interactive page too.
    """
    for step, (lr, loss, smooth) in enumerate(
        zip(curve.lr, curve.loss, curve.smooth, strict=True)
    ):
        point = {"lr_range/lr": lr, "lr_range/loss": loss, "lr_range/smooth_loss": smooth}
        run.metrics({k: v for k, v in point.items() if np.isfinite(v)}, step)
    suggestions = curve.suggestions
    run.metrics({f"lr_range/{k}": v for k, v in suggestions.items()})
    shown: dict[str, Any] = {
        "lr": curve.lr,
        "loss": curve.loss,
        "smooth": curve.smooth,
        "suggestions": suggestions,
        "chosen": settings.optimizer.lr,
        "nothing": curve.nothing,
        "title": f"LR range test: {description.run_name(settings)}",
    }
    with run.folder("lr_range") as place:
        curve.write_csv(place / "curve.csv")
        png.lr_range_png(place / "curve.png", **shown)
        if html:
            lr_range_html(place / "curve.html", **shown)


def epoch(run: Run, number: int, metrics: dict[str, float]) -> None:
    """Log an epoch's metrics; they are sent at most once a second, to save time."""
    run.metrics(metrics, number)
    run.flush(at_most_every=FLUSH_SECONDS)


def training(run: Run, fitted: Fitted, *, html: bool = True) -> None:
    """Log the best epoch, unless the training diverged, and pictures of the training curves.

    Args:
        run: The MLflow run.
        fitted: The training's history and best epoch.
        html: Whether to write the interactive page too.
    """
    if not fitted.diverged:  # else there is no model that these figures would be of
        run.metrics(
            {
                "best/epoch": fitted.best_epoch,
                "best/val_loss": fitted.at_best("val/loss"),
                "best/val_accuracy": fitted.at_best("val/accuracy"),
            }
        )
    stage = fitted.first_stage
    shown: dict[str, Any] = {
        "history": fitted.history,
        "best_epoch": 0 if fitted.diverged else fitted.best_epoch,
        "first_stage": stage,
        "title": f"Training, the unfrozen backbone too from epoch {stage + 1} on"
        if stage
        else "Training",
    }
    with run.folder("training") as place:
        png.curves_png(place / "curves.png", **shown)
        if html:
            curves_html(place / "curves.html", **shown)


def evaluation(
    run: Run,
    photos: Sequence[Photo],
    classes: Sequence[str],
    probabilities: np.ndarray,
    labels: np.ndarray,
    scores: Scores,
) -> None:
    """Log the predictions of photos: metrics, table, confusion matrix and worst mistakes.

    Args:
        run: The MLflow run.
        photos: The n photos.
        classes: Class names, in the order of the probabilities.
        probabilities: (n, classes) float32.
        labels: (n,) int class indices.
        scores: Their scores.
    """
    figures = dataclasses.asdict(scores)
    run.metrics({f"test/{k}": v for k, v in figures.items() if np.isfinite(v)})
    worst = worst_mistakes(probabilities, labels)
    predicted = probabilities.argmax(1)
    captions = [
        f"{shown(classes[labels[i]])}, said {shown(classes[predicted[i]])} "
        f"{probabilities[i].max():.2f}\n{shown(Path(photos[i].path).name)}"
        for i in worst
    ]
    wrong = int((predicted != labels).sum())
    with run.folder("evaluation") as place:
        paths = [photo.path for photo in photos]
        write_predictions(place / "predictions.csv", paths, classes, labels, probabilities)
        confusion_png(
            place / "confusion_matrix.png",
            matrix=confusion(probabilities, labels),
            classes=classes,
            title=f"Test: {len(labels)} photos, accuracy {scores.accuracy:.4f}",
        )
        montage.save(
            place / "mistakes.png",
            photos=[montage.thumbnail(photos[i]) for i in worst],
            captions=captions,
            title=f"Most confident of {wrong} mistakes on {len(labels)} test photos",
        )


def checkpoint(
    run: Run, stitched: keras.Model, classes: Sequence[str], *, log_model: bool
) -> None:
    """Save the end-to-end model, and log an MLflow model around that file.

    Args:
        run: The MLflow run.
        stitched: The end-to-end model.
        classes: Class names, in the order of its outputs.
        log_model: Whether to log the MLflow model.
    """
    with run.folder("checkpoints") as place:
        best = place / "best.keras"
        stitched.save(best)
        if log_model:
            logged_model.log(run, best, classes)


def totals(run: Run, seconds: dict[str, float], total: float) -> None:
    """Log the durations of the stages; overhead is the time outside of the computing stages.

    Args:
        run: The MLflow run.
        seconds: Duration of each stage.
        total: Duration of the whole run, in seconds.
    """
    computing = sum(seconds.get(stage, 0.0) for stage in ("features", "lr_range", "fit"))
    spent = {"features": 0.0, "fit": 0.0, **seconds, "overhead": total - computing, "total": total}
    run.metrics({f"time/{stage}_seconds": value for stage, value in spent.items()})
