"""What a run logs: the contract of names between catdog and whoever reads MLflow."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from catdog.core import provenance
from catdog.core.provenance import Commit, Provenance
from catdog.data.manifest import Manifest, Photo
from catdog.evaluation.metrics import Scores, confusion, worst_mistakes, write_predictions
from catdog.models.pretrained import Weights
from catdog.plots import montage, png
from catdog.plots.evaluation import confusion_png
from catdog.plots.html import curves_html, lr_range_html
from catdog.settings import OPTIMIZER_KEYS, Settings
from catdog.tracking import logged_model, names
from catdog.tracking.run import Run
from catdog.training.fit import Fitted
from catdog.training.lr_range import Curve

FLUSH_SECONDS = 1.0


def run_name(settings: Settings) -> str:
    """Return a name that tells runs apart, such as ``mobilenet_v2 linear adam lr=1e-3``."""
    if settings.tracking.run_name:
        return settings.tracking.run_name
    lr = (
        f"{settings.optimizer.lr:.0e}"
        if _is_round(settings.optimizer.lr)
        else f"{settings.optimizer.lr:.2e}"
    )
    lr = lr.replace("e-0", "e-").replace("e+0", "e+")
    name = f"{settings.backbone.name} {settings.head.name} {settings.optimizer.name} lr={lr}"
    if settings.finetune.epochs:
        name += f", then {settings.backbone.block} on lr={settings.finetune.lr:g}"
    return name


def _is_round(value: float) -> bool:
    return float(f"{value:.0e}") == value


def describe(
    run: Run,
    settings: Settings,
    manifest: Manifest,
    weights: Weights,
    source: Provenance,
    state: Commit,
) -> None:
    """Log parameters, the data set's identity, configuration, environment and description."""
    digest, counts = manifest.digest, manifest.counts
    run.params(
        {
            **dict(_leaves(settings)),
            "backbone.weights_from": f"{weights.source} {weights.detail}".strip(),
            "backbone.weights_sha256": weights.sha256 or "none",
            "data.digest": digest,
            **{f"data.photos.{split}": count for split, count in counts.items()},
            "data.skipped": len(manifest.skipped),
            "data.dropped": manifest.dropped,
        }
    )
    run.tags({names.NOTE: _note(settings, manifest, source, "not yet")})
    profile = json.dumps({**counts, "classes": list(manifest.classes)})
    run.dataset(settings.data.name, digest, profile, json.dumps({"path": str(manifest.root)}))
    with run.folder("data") as place:
        manifest.write(place)
    with run.folder("config") as place:
        (place / "resolved.yaml").write_text(source.resolved or _as_yaml(settings))
        lines = [f"- {json.dumps(override)}\n" for override in source.overrides]
        (place / "overrides.yaml").write_text("".join(lines) or "[]\n")
        (place / "environment.txt").write_text(provenance.environment())
        if state.dirty:
            (place / "uncommitted.patch").write_text(state.patch)


def conclude(
    run: Run,
    settings: Settings,
    manifest: Manifest,
    source: Provenance,
    fitted: Fitted,
    scores: Scores | None,
) -> None:
    """Put the result into the run's description; a training that was given up has no test."""
    ran = len(fitted.history["lr"])
    best = f"loss {fitted.at_best('val/loss'):.4f}, accuracy {fitted.at_best('val/accuracy'):.4f}"
    result = f"best epoch {fitted.best_epoch} of {ran}; validation {best}; "
    if scores is None:
        result += f"pruned after epoch {ran}"
    else:
        photos = manifest.counts["test"]
        result += f"test **accuracy {scores.accuracy:.4f}** of {photos:,} photos"
    if rule := settings.lr_range.apply:
        result += f"; at the {rule} rate of the LR range test, {settings.optimizer.lr:.2e}"
    run.tags({names.NOTE: _note(settings, manifest, source, result)})


def _note(settings: Settings, manifest: Manifest, source: Provenance, result: str) -> str:
    """Return a description: question, data, result, command."""
    counts = manifest.counts
    splits = ", ".join(f"{count:,} {split}" for split, count in counts.items())
    skipped = f"; {len(manifest.skipped):,} skipped" if manifest.skipped else ""
    skipped += f"; {manifest.dropped:,} dropped" if manifest.dropped else ""
    study = source.tags.get(names.STUDY, "")
    part = f", trial {source.tags[names.TRIAL]} of study {study}" if study else ""
    lines = [
        f"**Question**: how good is {run_name(settings)}{part}?",
        f"**Data**: {settings.data.name}, {sum(counts.values()):,} photos of "
        f"{len(manifest.classes)} classes: {splits}{skipped}",
        f"**Result**: {result}",
    ]
    # broken lines of one paragraph: MLflow folds a description after a few lines
    return "  \n".join(lines) + f"\n\nRepeat it with\n\n    {source.command}\n"


def _leaves(settings: Settings) -> Iterator[tuple[str, Any]]:
    own = ("name", *OPTIMIZER_KEYS[settings.optimizer.name])
    for item in dataclasses.fields(settings):
        value: Any = getattr(settings, item.name)
        if not dataclasses.is_dataclass(value):
            yield item.name, value
            continue
        for leaf in dataclasses.fields(value):
            if item.name != "optimizer" or leaf.name in own:
                yield f"{item.name}.{leaf.name}", getattr(value, leaf.name)


def _as_yaml(settings: Settings) -> str:
    return json.dumps(dataclasses.asdict(settings), indent=2) + "\n"  # JSON is YAML


def lr_range(run: Run, curve: Curve, settings: Settings, *, html: bool = True) -> None:
    """Log the LR range test: metrics by step, suggestions, curve."""
    for step, (lr, loss, smooth) in enumerate(
        zip(curve.lr, curve.loss, curve.smooth, strict=True)
    ):
        point = {"lr_range/lr": lr, "lr_range/loss": loss, "lr_range/smooth_loss": smooth}
        run.metrics({k: v for k, v in point.items() if np.isfinite(v)}, step)
    suggestions = curve.suggestions
    run.metrics({f"lr_range/{k}": v for k, v in suggestions.items() if np.isfinite(v)})
    shown: dict[str, Any] = {
        "lr": curve.lr,
        "loss": curve.loss,
        "smooth": curve.smooth,
        "suggestions": suggestions,
        "chosen": settings.optimizer.lr,
        "title": f"LR range test: {run_name(settings)}",
    }
    with run.folder("lr_range") as place:
        curve.write_csv(place / "curve.csv")
        png.lr_range_png(place / "curve.png", **shown)
        if html:
            lr_range_html(place / "curve.html", **shown)


def epoch(run: Run, number: int, metrics: dict[str, float]) -> None:
    """Log an epoch's metrics, sent at most once a second so that short epochs stay short."""
    run.metrics(metrics, number)
    run.flush(at_most_every=FLUSH_SECONDS)


def training(run: Run, fitted: Fitted, *, html: bool = True) -> None:
    """Log the best epoch and the curves."""
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
        "best_epoch": fitted.best_epoch,
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
    """Log the test: metrics, predictions, confusion matrix, worst mistakes."""
    figures = dataclasses.asdict(scores)
    run.metrics({f"test/{k}": v for k, v in figures.items() if np.isfinite(v)})
    worst = worst_mistakes(probabilities, labels)
    said = probabilities.argmax(1)
    captions = [
        f"{classes[labels[i]]}, said {classes[said[i]]} {probabilities[i].max():.2f}\n"
        f"{Path(photos[i].path).name}"
        for i in worst
    ]
    wrong = int((said != labels).sum())
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
    """Save the end-to-end model once, and log the MLflow model around that file."""
    with run.folder("checkpoints") as place:
        best = place / "best.keras"
        stitched.save(best)
        if log_model:
            logged_model.log(run, best, classes)


def totals(run: Run, seconds: dict[str, float], total: float) -> None:
    """Log where the time went; overhead is what a run costs beside its computing."""
    computing = sum(seconds.get(stage, 0.0) for stage in ("features", "lr_range", "fit"))
    spent = {"features": 0.0, "fit": 0.0, **seconds, "overhead": total - computing, "total": total}
    run.metrics({f"time/{stage}_seconds": value for stage, value in spent.items()})
