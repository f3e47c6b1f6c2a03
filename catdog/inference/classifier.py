"""Load a saved model in Keras' safe mode and classify any number of photos.

Photos are checked and decoded as in training, resized one by one, and pass the network in slices
as in feature extraction. So predictions equal those of the run, and memory does not grow with the
number of photos.
"""

from __future__ import annotations

import os
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import keras
import numpy as np

from catdog.data import folders, scan
from catdog.data.manifest import Photo
from catdog.errors import DIVERGED, CatdogError, ConfigError, DataError
from catdog.features.extractor import Extractor
from catdog.progress import Advance

BLOCK = 512
"""Photos per block; the next block is checked while the network classifies the current one."""

OnBad = Callable[[str, str], None]
"""Receives the name of a file that is skipped, and the reason."""


@dataclass(frozen=True)
class Classifier:
    """A loaded model, as a whole and in two parts.

    Attributes:
        model: Model from (N, H, W, 3) uint8 photos to (N, classes) probabilities.
        classes: Class names, in the order of the model's outputs.
        layers: The model's scaling and resizing layers, for single photos of any size.
        rest: The model behind them: (N, S, S, 3) float32 to (N, classes) probabilities.
    """

    model: keras.Model
    classes: tuple[str, ...]
    layers: Sequence[keras.layers.Layer]
    rest: keras.Model

    def predictions(
        self,
        files: Sequence[tuple[str, str]],
        *,
        views: int,
        batch_size: int,
        scratch: Path,
        on_bad: OnBad,
    ) -> Iterator[tuple[list[Photo], np.ndarray]]:
        """Classify photo files in order, batch by batch; files that are not photos are skipped.

        Args:
            files: (path, name) of each file: where to read it, and its name in results.
            views: 1, or 2 to average the probabilities of the photo and its mirror image.
            batch_size: Photos per batch, at least 1; the last batch of a block may be smaller.
            scratch: Folder for converted copies of photos that TensorFlow cannot decode; they are
                deleted after use.
            on_bad: Receives the name of every skipped file and the reason.

        Yields:
            Photos, whose ``path`` is the file's name, and (n, classes) float32 probabilities.
        """
        extractor = Extractor(self.rest, self.layers, {}, "float32", batch_size)
        for some in _checked(files, scratch, on_bad):
            while some:
                try:
                    for values in _batches(extractor, some, views):
                        done, some = some[: len(values)], some[len(values) :]
                        yield done, values
                except DataError as error:  # a file was removed or changed after its check
                    lost = [photo for photo in some if photo.source == error.path]
                    if not lost:
                        raise
                    some = [photo for photo in some if photo not in lost]
                    for photo in lost:
                        on_bad(photo.path, str(error).removeprefix(f"{error.path}: "))

    def probabilities(
        self, photos: Sequence[Photo], *, views: int, batch_size: int, advance: Advance
    ) -> np.ndarray:
        """Classify the photos of a manifest, which are checked already.

        Args:
            photos: The photos.
            views: 1, or 2 to average the probabilities of the photo and its mirror image.
            batch_size: Photos per batch, at least 1.
            advance: Receives the number of photos in every batch.

        Returns:
            (len(photos), classes) float32 probabilities, in the order of ``photos``.

        Raises:
            DataError: a photo was removed or changed since it was indexed.
        """
        extractor = Extractor(self.rest, self.layers, {}, "float32", batch_size)
        parts = []
        for values in _batches(extractor, list(photos), views):
            parts.append(values)
            advance(len(values))
        return np.concatenate(parts)


def load(path: Path, classes: Sequence[str] = ()) -> Classifier:
    """Load a model in Keras' safe mode, which runs no code from the file.

    Args:
        path: The ``.keras`` file of a run.
        classes: Class names, in the order of the model's outputs; empty numbers them from 0.

    Returns:
        The model, ready to classify photos.

    Raises:
        ConfigError: the number of class names is not that of the model's outputs.
        DataError: the file is not a Keras model, contains code, or was not saved by catdog; or its
            weights are not finite.
    """
    model = _load_safely(path)
    names = {layer.name for layer in model.layers}
    if not {"scaling", "resizing"} <= names or len(model.output_shape) != 2:
        raise DataError(
            path, "this Keras model was not saved by catdog: it does not scale and resize photos",
            "Expected checkpoints/best.keras of a run",
        )  # fmt: skip
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise DataError(path, f"weights of this model are not finite numbers: {DIVERGED}")
    outputs = model.output_shape[-1]
    known = tuple(classes or map(str, range(outputs)))
    if len(known) != outputs:
        raise ConfigError("--classes", ",".join(known), f"{path} has {outputs} classes")
    layers = [model.get_layer("scaling"), model.get_layer("resizing")]
    return Classifier(model, known, layers, keras.Model(layers[-1].output, model.output))


def _load_safely(path: Path) -> keras.Model:
    if not zipfile.is_zipfile(path):  # Keras would try other formats
        raise DataError(path, "not a Keras model", "Expected the .keras file of a run")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many types for unreadable files
        reason = " ".join(str(error).split())
        if "safe_mode" in reason or "unsafe" in reason.lower():
            raise DataError(
                path, "this model contains code (such as a Lambda layer), which was not run",
                "catdog loads models in Keras' safe mode only",
            ) from None  # fmt: skip
        raise DataError(path, f"Keras cannot load it: {reason[:300]}") from None


def _batches(extractor: Extractor, some: list[Photo], views: int) -> Iterator[np.ndarray]:
    several = [extractor.batches(some, policy="flip", views=view) for view in range(views)]
    for parts in zip(*several, strict=True):
        values = np.mean([part.numpy() for part in parts], axis=0)
        if not np.isfinite(values).all():
            raise CatdogError(f"the model's probabilities are not finite numbers: {DIVERGED}")
        yield values


def _checked(
    files: Sequence[tuple[str, str]], scratch: Path, on_bad: OnBad
) -> Iterator[list[Photo]]:
    """Yield blocks of good photos, while threads check the files of the next block."""
    blocks = [files[i : i + BLOCK] for i in range(0, len(files), BLOCK)]
    pool = ThreadPoolExecutor(os.cpu_count())

    def start(number: int, block: Sequence[tuple[str, str]]) -> list[Future[scan.Verdict]]:
        place = scratch / str(number)
        return [pool.submit(scan.check, path, place) for path, _ in block]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about odd metadata of readable photos
        try:
            checks = start(0, blocks[0] if blocks else ())
            for number, (block, after) in enumerate(zip_longest(blocks, blocks[1:], fillvalue=())):
                verdicts = [future.result() for future in checks]
                checks = start(number + 1, after)
                yield _good(block, verdicts, scratch / str(number), on_bad)
                shutil.rmtree(scratch / str(number), ignore_errors=True)
        finally:
            pool.shutdown(cancel_futures=True)


def _good(
    block: Sequence[tuple[str, str]],
    verdicts: Sequence[scan.Verdict],
    place: Path,
    on_bad: OnBad,
) -> list[Photo]:
    good = []
    for (path, name), verdict in zip(block, verdicts, strict=True):
        problem = verdict.problem or folders.name_problem(path)
        if problem:
            on_bad(name, problem)
            continue
        copy = scan.converted_path(verdict.sha256, place)
        source = str(copy) if verdict.converted else path
        good.append(
            Photo(name, source, 0, "", verdict.size, verdict.sha256,
                  verdict.orientation, verdict.converted)
        )  # fmt: skip
    return good
