"""cats_vs_dogs of tensorflow-datasets becomes plain class folders, byte for byte."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from catdog import data
from catdog.errors import ConfigError, DataError
from catdog.progress import Progress
from catdog.settings import Data

HAS_TFDS = importlib.util.find_spec("tensorflow_datasets") is not None
needs_tfds = pytest.mark.skipif(
    not HAS_TFDS, reason='tensorflow-datasets is not installed (pip install "catdog-lab[tfds]")'
)
pytestmark = pytest.mark.tensorflow


def jpeg(number: int) -> bytes:
    with io.BytesIO() as held:
        Image.new("RGB", (20, 10 + number), (number * 15, 90, 40)).save(held, "JPEG", quality=70)
        return held.getvalue()


PHOTOS = [(jpeg(i), ("cat", "dog")[i % 2]) for i in range(12)]

MAKE = """
import base64, json, sys
import tensorflow_datasets as tfds

photos = [(base64.b64decode(photo), label) for photo, label in json.load(sys.stdin)]

class CatsVsDogs(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("4.0.1")
    def _info(self):
        features = {"image": tfds.features.Image(), "image/filename": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(names=["cat", "dog"])}
        features = tfds.features.FeaturesDict(features)
        return tfds.core.DatasetInfo(builder=self, features=features)
    def _split_generators(self, manager):
        return {"train": self._generate_examples()}
    def _generate_examples(self):
        import io
        for number, (photo, label) in enumerate(photos):
            yield number, {"image": io.BytesIO(photo), "image/filename": f"{number}.jpg",
                           "label": label}

CatsVsDogs(data_dir=sys.argv[1]).download_and_prepare()
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data_dir of TFDS with a tiny cats_vs_dogs, made by TFDS itself in its own process."""
    import base64

    folder = tmp_path_factory.mktemp("tfds")
    held = json.dumps([(base64.b64encode(photo).decode(), label) for photo, label in PHOTOS])
    made = subprocess.run(
        [sys.executable, "-c", MAKE, str(folder)], input=held, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    return folder


def test_without_the_extra_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)  # as if it were not installed
    with pytest.raises(ConfigError) as caught:
        data.prepare(Data(name="tfds"), tmp_path / "cache", Progress())
    assert str(caught.value) == (
        'data=tfds: needs tensorflow-datasets; try `pip install "catdog-lab[tfds]"`'
    )


@needs_tfds
@pytest.mark.slow
def test_photos_are_exported_byte_for_byte_and_once(prepared: Path, tmp_path: Path) -> None:
    choice = Data(name="tfds", path=str(prepared))
    made = data.prepare(choice, tmp_path / "cache", Progress())
    assert made.classes == ("cat", "dog")
    assert made.skipped == ()
    exported = {(Path(p.source).read_bytes(), made.classes[p.label]) for p in made.photos}
    assert exported == set(PHOTOS)
    assert sum(made.counts.values()) == len(PHOTOS)
    (made.root / "witness").touch()  # would be gone if it were exported again
    assert data.prepare(choice, tmp_path / "cache", Progress()).digest == made.digest
    assert (made.root / "witness").exists()
    assert [p for p in (tmp_path / "cache" / "photos").iterdir() if p.is_dir()] == [made.root]


@needs_tfds
def test_a_data_set_that_cannot_be_had_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError) as caught:
        data.prepare(Data(name="tfds", path=str(tmp_path / "file")), tmp_path / "c", Progress())
    assert "cats_vs_dogs is not there and cannot be downloaded" in str(caught.value)
    assert "data=kaggle and data=folder" in str(caught.value)
