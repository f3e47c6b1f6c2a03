"""The MLflow model's code: photos in, a table of class probabilities out.

MLflow runs this file in an environment without catdog, so it imports nothing of catdog; copies of
``features/decode.py`` and ``data/formats.py`` are artifacts of the model. Logging a model runs
this file too, also in the process of a sweep, so Keras is imported only when the model is loaded.
"""

import base64
import importlib.util
import json
import os
import threading
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

BATCH = 64

BUDGETS = {
    "CATDOG_PHOTO_PIXELS": 50_000_000,
    "CATDOG_REQUEST_PIXELS": 1_000_000_000,
    "CATDOG_REQUEST_BYTES": 64_000_000,
}
"""What a request may cost, by the server's environment variable that changes it: pixels of one
photo (while it is resized each takes some 36 bytes, measured with 12 million), pixels of all
photos of a request, and characters of their base64 texts."""

ONE_AT_A_TIME = threading.Lock()
"""Held while a photo is decoded: MLflow answers several requests at once, in threads."""


def _module(path):
    spec = importlib.util.spec_from_file_location(f"catdog_served_{Path(path).stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Refused(MlflowException):
    """The photos of a request cannot be used; the message says why in a sentence."""

    def serialize_as_json(self):
        """Return the message as raised; MLflow's server has put the whole request before it."""
        self.message = str(self)
        return super().serialize_as_json()


class PhotoClassifier(PythonModel):
    """Classifies uint8 photo arrays, or base64 photos in a column ``image``."""

    def load_context(self, context):
        """Load the saved model, in Keras' safe mode."""
        import keras

        for name in BUDGETS:
            _budget(name)
        model = keras.saving.load_model(context.artifacts["model"], compile=False)
        resized = model.get_layer("resizing").output
        self._front = [model.get_layer("scaling"), model.get_layer("resizing")]
        self._rest = keras.Model(resized, model.output)
        self._to_numpy = keras.ops.convert_to_numpy
        self._decode = _module(context.artifacts["decode"])
        self._formats = _module(context.artifacts["formats"])
        self._classes = json.loads(Path(context.artifacts["classes"]).read_text())

    def predict(self, context, model_input, params=None):
        """Return a data frame with one row per photo and one column per class."""
        photos = self._photos(model_input)
        if not len(photos):
            raise _refuse("expected at least one photo, got none")
        rows = []
        for start in range(0, len(photos), BATCH):
            batch = np.concatenate([self._prepare(p) for p in photos[start : start + BATCH]])
            rows.append(self._rest.predict_on_batch(batch))
        return pd.DataFrame(np.concatenate(rows), columns=self._classes)

    def _prepare(self, photo):
        """Decode, scale and resize one photo, so that only one is in memory in its own size."""
        with ONE_AT_A_TIME:
            batch = (photo if isinstance(photo, np.ndarray) else self._encoded(photo))[None]
            for layer in self._front:
                batch = layer(batch)
            return self._to_numpy(batch)

    def _photos(self, given):
        """Return arrays, or texts whose headers have been checked."""
        if isinstance(given, pd.DataFrame):
            if list(given.columns) != ["image"]:
                raise _refuse(f"expected one column, image, got {list(given.columns)}")
            return self._affordable(given["image"].tolist())
        if isinstance(given, dict) and set(given) == {"image"}:
            return self._affordable(np.ravel(given["image"]))
        array = np.asarray(given)
        if array.dtype.kind in "US" or array.dtype == object:
            return self._affordable(np.ravel(array))
        return _checked(array)

    def _affordable(self, texts):
        """Check what a request costs, by the sizes in its photos' headers."""
        length = sum(len(text) for text in texts if isinstance(text, (str, bytes)))
        _check_budget("CATDOG_REQUEST_BYTES", length, "a request with {:,} characters of base64")
        _check_pixels(self._formats.pixels(data) for data in map(_bytes, texts))
        return texts

    def _encoded(self, text):
        data = _bytes(text)
        try:
            facts = self._formats.inspect(data)
        except ValueError as error:
            raise _not_encoded(error) from None
        photo = self._decode.decode(facts.png or data)
        return self._decode.orient(photo, facts.orientation).numpy()


def _bytes(text):
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, TypeError) as error:
        raise _not_encoded(error) from None


def _check_pixels(sizes):
    total = 0
    try:
        for size in sizes:
            total += size
            _check_budget("CATDOG_PHOTO_PIXELS", size, "a photo of {:,} pixels")
            _check_budget("CATDOG_REQUEST_PIXELS", total, "a request of {:,} pixels")
    except Refused:
        raise
    except ValueError as error:
        raise _not_encoded(error) from None


def _budget(name):
    given = os.environ.get(name, "")
    if given and not given.isdecimal():
        raise _refuse(f"{name}={given}: expected a whole number, such as {BUDGETS[name]}")
    return int(given or BUDGETS[name])


def _check_budget(name, cost, what):
    most = _budget(name)
    if cost > most:
        raise _refuse(f"{what.format(cost)} is beyond this server's {most:,} ({name})")


def _not_encoded(error):
    return _refuse(f"expected a base64 encoded photo: {error}")


def _checked(array):
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or array.shape[-1] != 3 or not array.size:
        raise _refuse(f"expected photos of shape (N, height, width, 3), got {array.shape}")
    _check_pixels([array.shape[1] * array.shape[2]] * len(array))
    if array.dtype.kind not in "iu":
        raise _refuse(f"expected uint8 photos from 0 to 255, got {array.dtype}")
    if array.min() < 0 or array.max() > 255:
        raise _refuse(f"expected values from 0 to 255, got {array.min()} to {array.max()}")
    return array.astype(np.uint8)


def _refuse(message):
    return Refused.invalid_parameter_value(message)


set_model(PhotoClassifier())
