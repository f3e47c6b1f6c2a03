"""What a logged run says of itself: its choices, its photos, its answers to the test photos."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import yaml

from catdog.errors import ConfigError
from catdog.tracking import names
from catdog.tracking.run import Run


def overrides(run: Run) -> list[str]:
    """Return what was named on the command line; of a trial, the swept values too.

    Raises:
        ConfigError: it is no run of catdog's.
    """
    words = yaml.safe_load(_text(run, names.OVERRIDES))
    # JSON writes a character beyond 16 bits as two, which YAML does not put together again
    return [str(word).encode("utf-16", "surrogatepass").decode("utf-16") for word in words]


def splits(run: Run) -> dict[str, str]:
    """Return ``train``, ``val`` or ``test`` by the SHA-256 of the run's photos.

    Raises:
        ConfigError: it is no run of catdog's.
    """
    return {row["sha256"]: row["split"] for row in _rows(run, names.MANIFEST)}


@dataclass(frozen=True)
class Answers:
    """A run's answers to its test photos.

    Attributes:
        labels: True class by the photo's SHA-256.
        said: Predicted class by the photo's SHA-256.
    """

    labels: Mapping[str, str]
    said: Mapping[str, str]

    def right(self, photos: Sequence[str]) -> np.ndarray:
        """Return (n,) bool: which of some photos it has right."""
        return np.array([self.said[photo] == self.labels[photo] for photo in photos], bool)


def answers(run: Run) -> Answers:
    """Return what a run predicted for its test photos.

    Raises:
        ConfigError: the run was not evaluated.
    """
    hashes = {row["path"]: row["sha256"] for row in _rows(run, names.MANIFEST)}
    rows = _rows(run, names.PREDICTIONS)
    return Answers(
        {hashes[row["path"]]: row["label"] for row in rows},
        {hashes[row["path"]]: row["class"] for row in rows},
    )


def _rows(run: Run, path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(_text(run, path))))


def _text(run: Run, path: str) -> str:
    try:
        return run.text(path)
    except FileNotFoundError:
        found = f"the run has no {path}, so it is none that catdog has trained to the end"
        raise ConfigError("RUN", run.run_id, found) from None
