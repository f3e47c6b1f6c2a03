"""Fixtures of all tests: a home of their own, the real photos, and a laboratory of real runs."""

from __future__ import annotations

import csv
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REAL_PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "data"
UNSET = ("MLFLOW_", "KERAS_", "CATDOG_", "HYDRA_", "TF_NUM_", "OMP_NUM_")
"""Environment variables, by prefix, that would change what a run does or where it writes."""

PIP_CONFIG = Path.home() / ".config" / "pip" / "pip.conf"
PHOTOS_PER_CLASS = 40

SECOND_LAB = {"test_finetune", "test_suspects", "test_promote", "test_doctor", "test_machines"}
"""Files whose tests have no use for the runs of the fixture ``pair``."""

# a shell starts `pytest &` with Ctrl-C ignored, nohup ignores a closed terminal; so would every
# command that tests end by these
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in this hook too
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let pytest-xdist's loadgroup keep a file's tests together, and those that share a lab.

    There are two labs, because one worker would have most of the work.
    """
    for item in items:
        used = getattr(item, "fixturenames", ())
        lab = "second lab" if item.path.stem in SECOND_LAB else "first lab"
        item.add_marker(pytest.mark.xdist_group(lab if "lab" in used else item.path.name))


def environment(home: Path, matplotlib: Path) -> dict[str, str]:
    """Return the environment of a machine whose user has nothing configured."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(UNSET)}
    if PIP_CONFIG.is_file():  # it may name the only package index that this machine reaches
        kept.setdefault("PIP_CONFIG_FILE", str(PIP_CONFIG))
    return {
        **kept,
        "HOME": str(home),
        "KERAS_HOME": str(home / ".keras"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "MPLCONFIGDIR": str(matplotlib),  # shared, or every test would scan the fonts again
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }


@pytest.fixture(scope="session")
def fonts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Matplotlib's font cache of this session."""
    return tmp_path_factory.mktemp("matplotlib")


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, fonts: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test an empty working folder and home, and Hydra a clean slate."""
    home = tmp_path / "home"
    home.mkdir()
    for name in [name for name in os.environ if name.startswith(UNSET)]:
        monkeypatch.delenv(name)
    for name, value in environment(home, fonts).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    yield
    if "hydra" in sys.modules:
        from hydra.core.global_hydra import GlobalHydra

        GlobalHydra.instance().clear()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, which take seconds to make."""
    from catdog.tracking import Tracker

    folder = tmp_path_factory.mktemp("store")
    Tracker(uri=f"sqlite:///{folder}/mlflow.db", experiment="another", root=folder)
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def shared_store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of an MLflow store in which tests have an experiment each: quicker than stores."""
    folder = tmp_path_factory.mktemp("shared")
    shutil.copy(empty_store, folder / "mlflow.db")
    return f"sqlite:///{folder}/mlflow.db"


@pytest.fixture
def tracker(shared_store: str, tmp_path: Path) -> Any:
    """A real tracker with an experiment of the test's own."""
    from catdog.tracking import Tracker

    return Tracker(uri=shared_store, experiment=tmp_path.name, root=tmp_path)


@pytest.fixture(scope="session")
def real_photos() -> Path:
    """The folder with the real photos' zips, which lies outside the project."""
    if REAL_PHOTOS.is_dir():
        return REAL_PHOTOS
    reason = f"the real photos are not at {REAL_PHOTOS}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    status: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """The lines of stderr that are catdog's own errors."""
        return [line for line in self.err.splitlines() if line.startswith("catdog: ")]


class Run:
    """What MLflow knows of a run."""

    def __init__(self, client: Any, info: Any) -> None:
        self._client, self.id, self.status = client, info.info.run_id, info.info.status
        self.info, self.params, self.tags = info.info, info.data.params, info.data.tags
        self.metrics = info.data.metrics
        self.models = [o.model_id for o in info.outputs.model_outputs] if info.outputs else []
        self.artifacts = Path(info.info.artifact_uri.removeprefix("file://"))

    def history(self, metric: str) -> list[tuple[int, float]]:
        """Return (step, value) of every point of a metric."""
        points = self._client.get_metric_history(self.id, metric)
        return sorted((point.step, point.value) for point in points)

    def results(self) -> dict[str, list[tuple[int, float]]]:
        """Return all histories but clocks and system metrics: what a repeat must reproduce."""
        names = [name for name in self.metrics if not name.startswith(("time/", "system/"))]
        return {name: self.history(name) for name in names}


@dataclass(frozen=True)
class Lab:
    """Drawn photos, frozen weights and a folder in which real commands run."""

    folder: Path
    photos: Path
    weights: Path
    fonts: Path

    @property
    def uri(self) -> str:
        """The MLflow store of its runs."""
        return f"sqlite:///{self.folder}/mlruns/mlflow.db"

    def overrides(self, **changed: object) -> list[str]:
        """Return overrides for a run of seconds; ``__`` in a name stands for a dot."""
        chosen: dict[str, object] = {
            "data": "folder",
            "data.path": self.photos,
            "backbone.weights": self.weights,
            "backbone.alpha": 0.35,
            "backbone.image_size": 64,
            "features.dir": self.folder / "cache",
            "features.batch_size": 8,
            "lr_range.steps": 20,
            "optimizer.lr": 0.003,
            "trainer.epochs": 3,
            "trainer.batch_size": 8,
            "tracking.uri": self.uri,
            **{name.replace("__", "."): value for name, value in changed.items()},
        }
        if chosen.get("lr_range.enabled") == "false":
            del chosen["lr_range.steps"]  # settings made in Python may not have it then
        return [f"{name}={value}" for name, value in chosen.items()]

    def parts(self, **changed: object) -> tuple[Any, Any, Any]:
        """Return settings, manifest and weights for a run in this process."""
        from hydra import compose, initialize_config_dir
        from omegaconf import OmegaConf

        from catdog import (
            data,
            weights,  # noqa: F401  train has resolvers
        )
        from catdog.core import paths
        from catdog.models import pretrained
        from catdog.progress import Progress
        from catdog.settings import parse

        with initialize_config_dir(str(paths.configs()), version_base="1.3"):
            cfg = compose("train", self.overrides(**changed))
        settings = parse.parse(OmegaConf.to_container(cfg, resolve=True))
        cache = Path(settings.features.dir)
        manifest = data.prepare(settings.data, cache, Progress())
        choice = settings.backbone
        found = pretrained.resolve(
            choice.name, alpha=choice.alpha, weights=choice.weights, cache_dir=cache
        )
        return settings, manifest, found

    def start(self, name: str, *words: object, **env: str) -> subprocess.Popen[str]:
        """Start ``python -m catdog.train`` with some words; Hydra's folder is ``hydra/<name>``."""
        place = self.folder / "hydra" / name
        words = (*words, f"hydra.run.dir={place}", f"hydra.sweep.dir={place}")
        return self.command("train", *words, **env)

    def command(self, module: str, *words: object, **env: str) -> subprocess.Popen[str]:
        """Start ``python -m catdog.<module>`` with some words, in a process group of its own."""
        command = [sys.executable, "-m", f"catdog.{module}", *map(str, words)]
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**environment(home, self.fonts), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def found(self, name: str, job: str = "") -> Run:
        """Return the run that was started under a name; of a sweep, its trial of a number."""
        place = self.folder / "hydra" / name / (f"trials/{job}" if job else "")
        (run,) = [r for r in self.runs() if r.tags.get("hydra.dir") == str(place)]
        return run

    def stamps(self) -> dict[str, tuple[int, str]]:
        """Return time and hash of the feature store's files."""
        files = sorted((self.folder / "cache/features").rglob("*.bin"))
        return {
            str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
            for path in files
        }

    def runs(self) -> list[Run]:
        """Return all its runs."""
        import mlflow

        client = mlflow.MlflowClient(self.uri)
        experiment = client.get_experiment_by_name("catdog")
        if experiment is None:
            return []
        return [Run(client, run) for run in client.search_runs([experiment.experiment_id])]


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def ended(process: subprocess.Popen[str], *, timeout: float = 300) -> Ended:
    """Wait for a process and return what it said; none outlives its test."""
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return Ended(process.returncode, out, err)


def succeeded(process: subprocess.Popen[str], *, timeout: float = 300) -> Ended:
    """Wait for a process that must succeed."""
    result = ended(process, timeout=timeout)
    assert result.status == 0, f"{shlex.join(map(str, process.args))}\n{result.err}"
    return result


def killed(process: subprocess.Popen[str]) -> None:
    """End a command and all its processes at once."""
    import psutil

    everyone = [psutil.Process(process.pid)]
    everyone += everyone[0].children(recursive=True)
    for one in everyone:
        one.send_signal(signal.SIGKILL)
    process.wait()


def wait_for(
    what: Callable[[], bool],
    *,
    process: subprocess.Popen[str],
    every: float,
    seconds: float = 300,
) -> None:
    """Poll until ``what()`` is true, as long as the process lives."""
    end = time.monotonic() + seconds
    while not what():
        assert process.poll() is None, f"ended early: {process.communicate()}"
        assert time.monotonic() < end, "it did not happen"
        time.sleep(every)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, fonts: Path) -> Lab:
    """Photos whose classes differ in colour, and MobileNetV2 weights that keep it visible."""
    folder = tmp_path_factory.mktemp("lab")
    draw_photos(folder / "photos")
    weights = folder / "seen.weights.h5"
    freeze_weights(weights, folder / "photos")
    return Lab(folder, folder / "photos", weights, fonts)


def draw_photos(folder: Path) -> None:
    """Draw tinted cats and dogs of many sizes, one of them turned by EXIF, one 16-bit PNG."""
    from PIL import Image

    from catdog.data import demo

    for label, tint in (("cat", (200, 90, 40)), ("dog", (40, 90, 200))):
        (folder / label).mkdir(parents=True)
        for seed in range(PHOTOS_PER_CLASS):
            size = (96 + 3 * seed, 150 - 2 * seed)
            photo = Image.blend(demo.draw(label, seed, size), Image.new("RGB", size, tint), 0.35)
            photo.save(folder / label / f"{seed}.jpg", exif=_turned(6 if seed % 5 == 1 else 1))
    deep = np.arange(120 * 90, dtype=np.uint16).reshape(120, 90) * 6
    Image.fromarray(deep).save(folder / "dog" / "deep.png")


def _turned(orientation: int) -> Any:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def freeze_weights(path: Path, photos: Path) -> None:
    """Save random MobileNetV2 weights with batch norms fitted to some photos.

    Without that the features of a random network underflow float16 and every test is vacuous.
    """
    import keras
    from PIL import Image

    some = sorted(photos.glob("*/*.jpg"))[::2]
    shown = np.stack([Image.open(p).convert("RGB").resize((64, 64)) for p in some])
    keras.utils.set_random_seed(0)
    network = keras.applications.MobileNetV2(
        (64, 64, 3), alpha=0.35, include_top=False, weights=None
    )
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(shown.astype("float32") / 127.5 - 1, training=True)
    # timid logits: one feature that float16 rounds the other way moves a probability by under 1e-5
    last = network.get_layer("Conv_1_bn").gamma
    last.assign(0.3 * last)
    network.save_weights(path)


@pytest.fixture(scope="session")
def pair(lab: Lab) -> Mapping[str, Run]:
    """Two runs, started together on an empty store and an empty MLflow, on 2 cores and on 1."""
    started = {
        "first": lab.start("first", *lab.overrides(threads=2)),
        "alone": lab.start("alone", *lab.overrides(threads=1, tracking__log_model="never")),
    }
    for process in started.values():
        succeeded(process)
    return {name: lab.found(name) for name in started}


@pytest.fixture(scope="session")
def first(pair: Mapping[str, Run]) -> Run:
    """A run with everything on."""
    return pair["first"]


@pytest.fixture(scope="session")
def before(first: Run, lab: Lab) -> dict[str, tuple[int, str]]:
    """The feature store as the first run left it."""
    return lab.stamps()


@pytest.fixture(scope="session")
def sweeping(lab: Lab, before: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """A sweep that runs while other tests use one core only; test_sweeps.py waits for it."""
    words = lab.overrides(
        optimizer__lr="1e-4,1e-3,1e-2", lr_range__enabled="false", trainer__epochs=2
    )
    process = lab.start("swept", "-m", "hydra.sweeper.study_name=swept", *words)
    yield process
    process.kill()
