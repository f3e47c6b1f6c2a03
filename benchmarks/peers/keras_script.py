"""What people write without catdog: a frozen MobileNetV2 under ``fit``, photos read every epoch.

The three searches beside this file share it, so that they differ in how they search only.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import keras

FOLDER = Path(os.environ["PEER_PHOTOS"])
"""Has ``train/<class>`` and ``val/<class>``."""

WEIGHTS = os.environ["PEER_WEIGHTS"]
"""ImageNet weights of MobileNetV2 without its top, as Keras reads them."""

SIZE, BATCH_SIZE = 224, 64

trials: list[dict[str, object]] = []
"""What was run: seconds of each trial and of each of its epochs, and how good it was."""


def photos(split: str) -> Any:
    """Read the photos of a split."""
    found = keras.utils.image_dataset_from_directory(
        FOLDER / split, image_size=(SIZE, SIZE), batch_size=BATCH_SIZE,
        shuffle=split == "train", seed=0, verbose=False,
    )  # fmt: skip
    return found.prefetch(2)


def network(lr: float, dropout: float) -> keras.Model:
    """Build and compile a frozen MobileNetV2 with a new linear head."""
    base = keras.applications.MobileNetV2(
        input_shape=(SIZE, SIZE, 3), include_top=False, pooling="avg", weights=WEIGHTS
    )
    base.trainable = False
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.applications.mobilenet_v2.preprocess_input(inputs)
    x = base(x, training=False)
    x = keras.layers.Dropout(dropout)(x)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    optimizer = keras.optimizers.Adam(lr)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Watch(keras.callbacks.Callback):
    """Notes the seconds of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start."""
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Stop; validation is in."""
        self.seconds.append(time.perf_counter() - self._started)


def train(lr: float, dropout: float, epochs: int) -> float:
    """Run a trial; return its best validation loss."""
    started, watch = time.perf_counter(), Watch()
    history = network(lr, dropout).fit(
        photos("train"), validation_data=photos("val"), epochs=epochs, callbacks=[watch], verbose=0
    )
    note(started, watch, history.history["val_accuracy"])
    return min(history.history["val_loss"])


def note(started: float, watch: Watch, accuracies: list[float]) -> None:
    """Remember a trial and write all of them for whoever measures."""
    trials.append({
        "seconds": time.perf_counter() - started, "epochs": watch.seconds,
        "val_accuracy": accuracies[-1],
    })  # fmt: skip
    Path(os.environ["PEER_OUT"]).write_text(json.dumps(trials))
