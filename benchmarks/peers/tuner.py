"""The search with KerasTuner.

python tuner.py TRIALS EPOCHS
"""

import sys
import time
from typing import Any

import keras
import keras_script
import keras_tuner


class Search(keras_tuner.HyperModel):
    """What KerasTuner builds and fits."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Ask and build."""
        lr = hp.Float("lr", 1e-5, 1e-1, sampling="log")
        return keras_script.network(lr, hp.Float("dropout", 0.0, 0.7))

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> Any:
        """Fit as KerasTuner would, and time it."""
        started, watch = time.perf_counter(), keras_script.Watch()
        kwargs["callbacks"] = [*kwargs.get("callbacks", []), watch]
        history = super().fit(hp, model, *args, **kwargs)
        keras_script.note(started, watch, history.history["val_accuracy"])
        return history


n_trials, epochs = map(int, sys.argv[1:3])
tuner = keras_tuner.BayesianOptimization(
    Search(), "val_loss", max_trials=n_trials, seed=0, directory="tuner", overwrite=True
)
tuner.search(
    keras_script.photos("train"), validation_data=keras_script.photos("val"), epochs=epochs,
    verbose=0,
)  # fmt: skip
