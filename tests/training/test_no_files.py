"""What TensorFlow compiles leaves nothing in the temporary folder, where a kill would leave it."""

import tempfile

import numpy as np
import pytest
from helpers.features import ensure, tiny
from helpers.photos import twelve
from helpers.training import clusters, run, steps

from catdog.training import lr_range
from catdog.training.steps import predict

pytestmark = pytest.mark.tensorflow


def test_features_training_and_prediction_write_no_temporary_files(tmp_path, monkeypatch):
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    ensure(tmp_path / "store", tiny(), twelve(tmp_path / "photos"), policy="strong", views=2)
    feeds, made = (clusters(tmp_path / "a"), clusters(tmp_path / "b")), steps(ema=0.9)
    rates = {"min_lr": 1e-4, "max_lr": 1e-2, "count": 5, "rng": np.random.default_rng(0)}
    lr_range.run(made, feeds[0], **rates)
    run(made, feeds, epochs=1)
    predict(made.model, feeds[1])
    assert not list(place.iterdir())
