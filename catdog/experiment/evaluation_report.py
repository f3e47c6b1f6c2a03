"""What an evaluation finds, and what it logs: figures with intervals, tables, pictures."""

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


@dataclass(frozen=True)
class Findings:
    """How good a model is on some photos.

    Attributes:
        photos: How many.
        scores: Loss, accuracy, AUC, ECE.
        intervals: 95 % interval by figure: Wilson's of the accuracy, the bootstrap's of the rest.
        classes: One row per class.
    """

    photos: int
    scores: Scores
    intervals: Mapping[str, Interval]
    classes: Sequence[ClassRow]

    def shown(self, figure: str) -> str:
        """Return a figure with its interval as text."""
        low, high = self.intervals[figure]
        value = getattr(self.scores, figure)
        return "undefined" if math.isnan(value) else f"{value:.4f}  ({low:.4f} to {high:.4f})"

    def summary(self) -> dict[str, str]:
        """Return all figures as text, by what a person calls them."""
        names = {"accuracy": "accuracy", "loss": "loss", "AUC": "auc", "ECE": "ece"}
        return {name: self.shown(figure) for name, figure in names.items()}


def find(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str], progress: Progress
) -> Findings:
    """Score predictions.

    Args:
        probabilities: (n, classes), n > 0.
        labels: (n,) int.
        classes: Names.
        progress: Hears of the resampling.
    """
    right = int((probabilities.argmax(1) == labels).sum())
    with progress.track("Bootstrap", RESAMPLES) as advance:
        drawn = bootstrap(probabilities, labels, advance=advance)
    intervals = {"accuracy": wilson(right, len(labels)), **drawn}
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
    """Log what was asked, about which photos, and the answer in a few lines."""
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
        f"**Result**: accuracy **{findings.shown('accuracy')}**, loss {findings.shown('loss')}",
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
    """Log everything.

    Args:
        run: An evaluation's.
        findings: From ``find``.
        photos: What was asked about.
        classes: Names, in the model's order.
        probabilities: (n, classes).
        labels: (n,) int.
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
