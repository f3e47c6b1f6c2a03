"""The two sides that search.py compares: catdog's commands, and the peers' scripts.

Both see the same photos in the same splits and the same weights.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catdog.cli import hydra_app, inputs
from catdog.core import paths, runtime
from catdog.data.manifest import Manifest
from catdog.models.pretrained import Weights
from catdog.progress import Progress
from catdog.settings import Settings

SCRIPTS = Path(__file__).with_name("peers")
LR, DROPOUT = "tag(log,interval(1e-5,1e-1))", "interval(0,0.7)"


@dataclass
class Peer:
    """A peer's search as it was run: all seconds, and those of its trials and epochs."""

    total: float
    trials: list[dict[str, Any]]

    def scaled(self, trials: int, epochs: int) -> float:
        """Return the seconds that ``trials`` of ``epochs`` would take."""
        fixed = min(trial["seconds"] - sum(trial["epochs"]) for trial in self.trials)
        shortest = min(second for trial in self.trials for second in trial["epochs"])
        return self.start + trials * (fixed + epochs * shortest)

    @property
    def start(self) -> float:
        """Seconds beside all trials: mostly imports."""
        return self.total - sum(trial["seconds"] for trial in self.trials)

    @property
    def shape(self) -> str:
        """What was run, as trials x epochs."""
        return f"{len(self.trials)} x {len(self.trials[0]['epochs'])}"


@dataclass
class Bench:
    """What all sides share.

    Attributes:
        folder: Everything is written below it.
        asked: The command line.
        manifest: The photos and their splits.
        weights: A file of the backbone's weights, as Keras reads them.
    """

    folder: Path
    asked: argparse.Namespace
    manifest: Manifest
    weights: Path

    def catdog(self, *words: str) -> float:
        """Run a catdog command and return its seconds."""
        shared = [
            *self.asked.overrides, f"features.dir={self.folder}/cache",
            f"tracking.uri=sqlite:///{self.folder}/mlflow.db",
            f"backbone.weights={self.weights}", f"trainer.patience={self.asked.epochs}",
        ]  # fmt: skip
        return self._timed([sys.executable, "-m", "catdog.train", *words, *shared], {})

    def search(self, name: str, jobs: int) -> float:
        """Run the search with catdog."""
        return self.catdog(
            "-m", f"optimizer.lr={LR}", f"head.dropout={DROPOUT}",
            f"trainer.epochs={self.asked.epochs}", f"hydra.sweeper.n_trials={self.asked.trials}",
            f"hydra.sweeper.n_jobs={jobs}", f"hydra.sweeper.study_name={name}",
            f"hydra.sweep.dir={self.folder}/{name}",
        )  # fmt: skip

    def peer(self, python: Path | str, *words: str) -> Peer:
        """Run a peer's search and return what it noted."""
        out = self.folder / "peer.json"
        known = {
            "PEER_PHOTOS": str(self.folder / "photos"), "PEER_WEIGHTS": str(self.weights),
            "PEER_OUT": str(out), "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": "",
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/plain.db",
        }  # fmt: skip
        total = self._timed([str(python), str(SCRIPTS / words[0]), *words[1:]], known)
        return Peer(total, json.loads(out.read_text()))

    def _timed(self, words: Sequence[str], environment: Mapping[str, str]) -> float:
        started, log = time.perf_counter(), self.folder / "log.txt"
        with log.open("w") as file:
            done = subprocess.run(
                words, cwd=self.folder, stdout=file, stderr=subprocess.STDOUT, check=False,
                env={**os.environ, **environment},
            )  # fmt: skip
        if done.returncode:
            sys.exit(
                f"{' '.join(words)}\nended with {done.returncode}:\n{log.read_text()[-2000:]}"
            )
        return time.perf_counter() - started


def set_up(folder: Path, asked: argparse.Namespace) -> Bench:
    """Check the photos and write the weights; the cold search does the former again."""
    settings = compose(asked.overrides)
    manifest, found = inputs.photos_and_weights(settings, Progress())
    bench = Bench(folder, asked, manifest, keras_weights(found, folder / "mobilenet.weights.h5"))
    lay_out(bench)
    return bench


def compose(overrides: Sequence[str]) -> Settings:
    """Return the settings that a command line means."""
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(paths.configs()), version_base="1.3"):
        return hydra_app.settings_of(compose("train", overrides=list(overrides)))


def keras_weights(found: Weights, file: Path) -> Path:
    """Write the backbone's weights as ``keras.applications`` reads them."""
    runtime.load_tensorflow()
    from catdog.models import backbone

    network = backbone.build("mobilenet_v2", image_size=224, alpha=1.0, weights=found, seed=0)
    network.model.save_weights(file)
    return file


def lay_out(bench: Bench) -> None:
    """Link the photos into a folder per split and class, as Keras wants them."""
    for number, photo in enumerate(bench.manifest.photos):
        label = bench.manifest.classes[photo.label]
        place = bench.folder / "photos" / photo.split / label
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}{Path(photo.source).suffix}").symlink_to(photo.source)


def rows(database: Path, query: str) -> list[tuple]:
    """Ask a SQLite database."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return list(connection.execute(query))
