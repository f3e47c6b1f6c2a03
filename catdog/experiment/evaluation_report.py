"""Evaluate predictions and log the result: metrics with intervals, tables and pictures."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from catdog.core.files import write_csv
from catdog.data.manifest import Manifest, Photo
from catdog.evaluation import breakdown, metrics
from catdog.evaluation.breakdown import Bin, ClassRow, CoverageRow, ThresholdRow
from catdog.evaluation.intervals import RESAMPLES, Interval, bootstrap, wilson
from catdog.evaluation.metrics import Scores
from catdog.experiment import run_report
from catdog.plots import evaluation
from catdog.progress import Progress
from catdog.settings import Settings
from catdog.tracking.names import NOTE
from catdog.tracking.run import Run

LEAST = 5
"""Fewest photos of which the bootstrap says something: of two it would say from 1 to 1."""


@dataclass(frozen=True)
class Findings:
    """The result of an evaluation.

    Attributes:
        photos: Number of photos.
        scores: Loss, accuracy, AUC and ECE.
        intervals: 95 % interval of each metric: Wilson's for accuracy, bootstrap for the others;
            NaN where there is none.
        classes: Precision, recall and F1 of each class.
    """

    photos: int
    scores: Scores
    intervals: Mapping[str, Interval]
    classes: Sequence[ClassRow]

    def shown(self, figure: str) -> str:
        """Return a metric and its interval as text, such as ``0.9870  (0.9820 to 0.9910)``."""
        value, (low, high) = getattr(self.scores, figure), self.intervals[figure]
        if not math.isfinite(value):
            return metrics.shown(value)
        known = math.isfinite(low) and math.isfinite(high)
        interval = f"{low:.4f} to {high:.4f}" if known else "too few photos for an interval"
        return f"{value:.4f}  ({interval})"

    def summary(self) -> dict[str, str]:
        """Return all metrics and their intervals as text, by the names shown to users."""
        names = {"accuracy": "accuracy", "loss": "loss", "AUC": "auc", "ECE": "ece"}
        photos = {"photos": f"{self.photos:,}"}
        return photos | {name: self.shown(figure) for name, figure in names.items()}


def evaluate(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str], progress: Progress
) -> Findings:
    """Score predictions, with 95 % intervals.

    Args:
        probabilities: (n, classes) float, n > 0.
        labels: (n,) int class indices.
        classes: Class names, in the order of the probabilities.
        progress: Receives the progress of the bootstrap.

    >>> found = evaluate(np.eye(2), np.array([0, 1]), ("cat", "dog"), Progress())
    >>> found.scores.accuracy
    1.0
    """
    correct = int((probabilities.argmax(1) == labels).sum())
    drawn: dict[str, Interval] = dict.fromkeys(("loss", "auc", "ece"), (math.nan, math.nan))
    if len(labels) >= LEAST:
        with progress.track("Bootstrap", RESAMPLES) as advance:
            drawn = bootstrap(probabilities, labels, advance=advance)
    intervals = {"accuracy": wilson(correct, len(labels)), **drawn}
    return Findings(
        len(labels),
        metrics.score(probabilities, labels),
        intervals,
        breakdown.by_class(probabilities, labels, classes),
    )


def describe(
    run: Run,
    settings: Settings,
    manifest: Manifest,
    findings: Findings,
    title: str,
    command: str,
) -> None:
    """Log params, the identity of the photos and a description with the result.

    Args:
        run: The MLflow run of the evaluation.
        settings: All settings.
        manifest: The photos.
        findings: From ``evaluate``.
        title: Name of the model and the photos, for the description.
        command: The command that repeats the evaluation.
    """
    counts = {"evaluated": findings.photos, "classes": list(manifest.classes)}
    source = json.dumps({"path": str(manifest.root)})
    run.dataset(settings.data.name, manifest.digest, json.dumps(counts), source)
    run.params(
        {
            **{f"data.{key}": value for key, value in dataclasses.asdict(settings.data).items()},
            "data.digest": manifest.digest,
            "evaluation.tta": settings.evaluation.tta,
            "evaluation.photos": findings.photos,
        }
    )
    lines = [
        f"**Question**: how good is {title}?",
        f"**Data**: {settings.data.name}, {findings.photos:,} photos",
        f"**Result**: accuracy **{findings.shown('accuracy')}**, loss {findings.shown('loss')}"
        f"{metrics.of_few(findings.photos)}",
    ]
    run.tags({NOTE: "  \n".join(lines) + f"\n\nRepeat it with\n\n    {command}\n"})


def log(
    run: Run,
    findings: Findings,
    photos: Sequence[Photo],
    classes: Sequence[str],
    probabilities: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Log metrics, tables and pictures.

    Args:
        run: The MLflow run of the evaluation.
        findings: From ``evaluate``.
        photos: The n photos.
        classes: Class names, in the order of the probabilities.
        probabilities: (n, classes) float.
        labels: (n,) int class indices.
    """
    run_report.evaluation(run, photos, classes, probabilities, labels, findings.scores)
    for figure, (low, high) in findings.intervals.items():
        ends = {f"test/{figure}_low": low, f"test/{figure}_high": high}
        run.metrics({name: value for name, value in ends.items() if math.isfinite(value)})
    with run.folder("evaluation") as place:
        bins = breakdown.reliability(probabilities, labels)
        thresholds = breakdown.thresholds(probabilities, labels, classes)
        coverage = breakdown.coverage(probabilities, labels)
        write_csv(place / "classes.csv", ClassRow._fields, findings.classes, digits=6)
        write_csv(place / "thresholds.csv", ThresholdRow._fields, thresholds, digits=6)
        write_csv(place / "coverage.csv", CoverageRow._fields, coverage, digits=6)
        write_csv(place / "reliability.csv", Bin._fields, bins, digits=6)
        evaluation.reliability_png(
            place / "reliability.png",
            bins=bins,
            title=f"Calibration on {len(labels)} photos",
            note=f"ECE {findings.shown('ece')}; dashed: as sure as it should be; bars: 95 %",
        )
