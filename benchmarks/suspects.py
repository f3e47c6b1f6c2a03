"""Are wrong labels found? Some are exchanged on purpose, and ways of finding them compared.

Of the photos' labels a share (5 %) is exchanged for another class at random, on several seeds;
heads judge the photos out of fold, as ``python -m catdog.suspects`` does, from stored features.
From the same predictions, in the same run:

    before         heads of one strength; every photo that they get wrong, by self-confidence (the
                   lowest probability of the label first): what catdog did before
    disagreement   the same with heads of the better of two strengths
    noise rate     cleanlab's ``prune_by_noise_rate``, by self-confidence
    margin         as many photos as may be wrong by confident learning, by normalized margin
    suspects       the same by self-confidence: what catdog does

For each: how many labels it lists, the share of them that was exchanged (precision), the share of
the exchanged ones among them (recall) and among as many as were exchanged, ranked first (first k).
Means over the seeds, with the standard deviation. Labels that were wrong before count as false
alarms. ``estimated`` is the number that confident learning tells, once with no label exchanged.

    python benchmarks/suspects.py [--seeds 5] [--share 0.05] [key=value ...]
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from unittest import mock

import numpy as np
from cleanlab import filter
from sides import compose

from catdog.cli import inputs, typed
from catdog.core import runtime
from catdog.core.memo import Memo
from catdog.evaluation import label_errors
from catdog.progress import Progress
from catdog.settings import Head


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--share", type=float, default=0.05, help="of the labels to exchange")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    return parser.parse_intermixed_args()


def load(words: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of all photos, stored where they were missing, and the labels."""
    settings = compose([typed.absolute(word) for word in words])
    settings = dataclasses.replace(settings, head=Head(name="linear", pooling="avg"))
    manifest, weights = inputs.photos_and_weights(settings, Progress())
    runtime.load_tensorflow()
    from catdog.experiment import prefix
    from catdog.features import extraction

    root, source = Path(settings.features.dir).expanduser(), Memo()
    extractor = prefix.extractor(settings, weights, source)
    held = extraction.ensure(root, extractor, manifest.photos, progress=Progress())
    ((store, rows),) = held.views
    return store.read(rows).astype("float32"), held.labels.astype(int)


def exchanged(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of which some are of another class, and which these are."""
    rng, classes = np.random.default_rng(seed), labels.max() + 1
    wrong = np.zeros(len(labels), bool)
    wrong[rng.choice(len(labels), round(share * len(labels)), replace=False)] = True
    moved = labels.copy()
    moved[wrong] = (labels[wrong] + rng.integers(1, classes, wrong.sum())) % classes
    return moved, wrong


def noise_rate(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the photos that cleanlab prunes."""
    return filter.find_label_issues(
        labels, probabilities, filter_by="prune_by_noise_rate",
        return_indices_ranked_by="self_confidence", n_jobs=1,
    )  # fmt: skip


def margin(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the photos whose label is not the most probable class, by normalized margin."""
    return filter.find_label_issues(
        labels, probabilities, filter_by="predicted_neq_given",
        return_indices_ranked_by="normalized_margin", n_jobs=1,
    )  # fmt: skip


def heads_before(features: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Return the predictions of heads that have one strength of regularization."""
    with mock.patch.object(label_errors, "INVERSE_REGULARIZATIONS", (0.01,)):
        return label_errors.out_of_fold_probabilities(features, labels, seed=seed)


def lists(
    features: np.ndarray, labels: np.ndarray, seed: int
) -> tuple[dict[str, np.ndarray], label_errors.Estimate, float]:
    """Return what each way lists, confident learning's estimate and the heads' agreement."""
    judged = label_errors.out_of_fold_probabilities(features, labels, seed=seed)
    told = label_errors.estimate(judged, labels, seed=seed)
    ranked = label_errors.find_label_issues(judged, labels)
    before = label_errors.find_label_issues(heads_before(features, labels, seed), labels)
    found = {
        "before": before,
        "disagreement": ranked,
        "noise rate": noise_rate(judged, labels),
        "margin": margin(judged, labels)[: told.high],
        "suspects": ranked[: told.high],
    }
    return found, told, float((judged.argmax(1) == labels).mean())


def figures(listed: np.ndarray, wrong: np.ndarray) -> list[float]:
    """Return how many are listed, and their precision, recall and precision of the first k."""
    hits, count = wrong[listed], int(wrong.sum())
    return [len(listed), hits.mean(), hits.sum() / count, hits[:count].sum() / count]


def report(found: dict[str, list[list[float]]]) -> None:
    """Print a row of means and standard deviations for each way."""
    names = ("listed", "precision", "recall", "first k")
    print(f"{'':20s}" + "".join(f"{name:>16s}" for name in names))
    for way, seeds in found.items():
        means, spreads = np.mean(seeds, axis=0), np.std(seeds, axis=0, ddof=len(seeds) > 1)
        cells = [f"{means[0]:9.0f} ±{spreads[0]:5.0f}"]
        cells += [
            f"{mean:9.2f} ±{spread:5.2f}"
            for mean, spread in zip(means[1:], spreads[1:], strict=True)
        ]
        print(f"{way:20s}" + "".join(cells))


def main() -> None:
    """Measure and print the tables."""
    asked = arguments()
    features, labels = load(asked.overrides)
    print(" ".join(asked.overrides), flush=True)
    found: dict[str, list[list[float]]] = {}
    print("exchanged  heads agree  estimated (95 %)      before lists")
    for seed in (None, *range(asked.seeds)):
        given, wrong = labels, np.zeros(len(labels), bool)
        if seed is not None:
            given, wrong = exchanged(labels, asked.share, seed)
        listed, told, agree = lists(features, given, seed or 0)
        print(
            f"{wrong.sum():9d}{agree:13.3f}{told.wrong:11d} ({told.low} to {told.high})"
            f"{len(listed['before']):15d}", flush=True,
        )  # fmt: skip
        for way, photos in listed.items() if seed is not None else ():
            found.setdefault(way, []).append(figures(photos, wrong))
    report(found)


if __name__ == "__main__":
    main()
