"""A saved model: loaded in Keras' safe mode, and asked about any number of photos.

A photo passes the check and the decoder of training, is resized alone, and passes the network in
slices as the feature store's photos do: same answers as the run's own, same speed, same memory.
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

from catdog.data import scan
from catdog.data.manifest import Photo
from catdog.errors import ConfigError, DataError
from catdog.features.extractor import Extractor
from catdog.progress import Advance

BLOCK = 512
"""Photos that are checked ahead while the network works on as many."""

Complain = Callable[[str, str], None]
"""Hears of a photo that is none, and why."""


@dataclass(frozen=True)
class Classifier:
    """A loaded model, whole and in the two halves that photos are streamed through.

    Attributes:
        model: (N, H, W, 3) uint8 photos to (N, classes) probabilities.
        classes: Names of its outputs.
        layers: Scaling and resizing; they take single photos of any size.
        rest: What comes behind: (N, S, S, 3) float32 to (N, classes) probabilities.
    """

    model: keras.Model
    classes: tuple[str, ...]
    layers: Sequence[keras.layers.Layer]
    rest: keras.Model

    def answers(
        self,
        files: Sequence[tuple[str, str]],
        *,
        views: int,
        batch_size: int,
        scratch: Path,
        on_bad: Complain,
    ) -> Iterator[tuple[list[Photo], np.ndarray]]:
        """Classify photos in order, batch by batch; memory does not grow with their number.

        Args:
            files: (path, name) of each: what to read, and what to call it.
            views: 2 also asks about the mirror image and takes the mean.
            batch_size: Photos per batch; the last of a block may be smaller.
            scratch: Folder for copies of what TensorFlow cannot read; empty again afterwards.
            on_bad: Hears of every file that is skipped.

        Yields:
            Photos, their ``path`` the name, and (n, classes) float32 probabilities.
        """
        extractor = Extractor(self.rest, self.layers, {}, "float32", batch_size)
        for some in _checked(files, scratch, on_bad):
            while some:
                try:
                    for values in _batches(extractor, some, views):
                        done, some = some[: len(values)], some[len(values) :]
                        yield done, values
                except DataError as error:  # good when it was checked
                    lost = [photo for photo in some if photo.source == error.path]
                    if not lost:
                        raise
                    some = [photo for photo in some if photo not in lost]
                    for photo in lost:
                        on_bad(photo.path, str(error).removeprefix(f"{error.path}: "))

    def probabilities(
        self, photos: Sequence[Photo], *, views: int, batch_size: int, advance: Advance
    ) -> np.ndarray:
        """Classify photos that are known to be good.

        Args:
            photos: From a manifest.
            views: 2 also asks about the mirror image and takes the mean.
            batch_size: Photos per batch.
            advance: Hears of every batch.

        Returns:
            (len(photos), classes) float32.

        Raises:
            DataError: a photo changed since it was indexed.
        """
        extractor = Extractor(self.rest, self.layers, {}, "float32", batch_size)
        parts = []
        for values in _batches(extractor, list(photos), views):
            parts.append(values)
            advance(len(values))
        return np.concatenate(parts)


def _batches(extractor: Extractor, some: list[Photo], views: int) -> Iterator[np.ndarray]:
    several = [extractor.batches(some, policy="flip", views=view) for view in range(views)]
    for parts in zip(*several, strict=True):
        yield np.mean([part.numpy() for part in parts], axis=0)


def _checked(
    files: Sequence[tuple[str, str]], scratch: Path, on_bad: Complain
) -> Iterator[list[Photo]]:
    """Yield blocks of good photos, while threads check the next block."""
    blocks = [files[i : i + BLOCK] for i in range(0, len(files), BLOCK)]
    pool = ThreadPoolExecutor(os.cpu_count())

    def begin(number: int, block: Sequence[tuple[str, str]]) -> list[Future[scan.Verdict]]:
        place = scratch / str(number)
        return [pool.submit(scan.check, path, place) for path, _ in block]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # metadata that is only odd does not make a photo bad
        try:
            ahead = begin(0, blocks[0] if blocks else ())
            for number, (block, after) in enumerate(zip_longest(blocks, blocks[1:], fillvalue=())):
                verdicts = [future.result() for future in ahead]
                ahead = begin(number + 1, after)
                yield _good(block, verdicts, scratch / str(number), on_bad)
                shutil.rmtree(scratch / str(number), ignore_errors=True)
        finally:
            pool.shutdown(cancel_futures=True)


def _good(
    block: Sequence[tuple[str, str]],
    verdicts: Sequence[scan.Verdict],
    place: Path,
    on_bad: Complain,
) -> list[Photo]:
    kept = []
    for (path, name), verdict in zip(block, verdicts, strict=True):
        problem = verdict.problem or _name_problem(path)
        if problem:
            on_bad(name, problem)
            continue
        copy = scan.converted_path(verdict.sha256, place)
        source = str(copy) if verdict.converted else path
        kept.append(
            Photo(name, source, 0, "", verdict.size, verdict.sha256,
                  verdict.orientation, verdict.converted)
        )  # fmt: skip
    return kept


def _name_problem(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        return "TensorFlow reads only files whose name is UTF-8; rename it"
    return ""


def load(path: Path, classes: Sequence[str] = ()) -> Classifier:
    """Load a model in Keras' safe mode, which runs no code that a file brings along.

    Args:
        path: The ``.keras`` file.
        classes: Names of its outputs; none are numbered.

    Raises:
        ConfigError: there are more or fewer classes than outputs.
        DataError: the file is no model, one that brings code along, or none of catdog's.
    """
    model = _safely(path)
    names = {layer.name for layer in model.layers}
    if not {"scaling", "resizing"} <= names or len(model.output_shape) != 2:
        raise DataError(
            path, "a Keras model, but none of catdog's: it does not scale and resize photos",
            "catdog's are checkpoints/best.keras of its runs",
        )  # fmt: skip
    outputs = model.output_shape[-1]
    known = tuple(classes or map(str, range(outputs)))
    if len(known) != outputs:
        raise ConfigError("--classes", ",".join(known), f"{path} tells {outputs} classes apart")
    layers = [model.get_layer("scaling"), model.get_layer("resizing")]
    return Classifier(model, known, layers, keras.Model(layers[-1].output, model.output))


def _safely(path: Path) -> keras.Model:
    if not zipfile.is_zipfile(path):  # Keras would try other formats
        raise DataError(path, "no Keras model", "Expected the .keras file of a run")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever the file makes Keras stumble over
        reason = " ".join(str(error).split())
        if "safe_mode" in reason or "unsafe" in reason.lower():
            raise DataError(
                path, "this model brings code along (such as a Lambda layer), which was not run",
                "catdog loads models in Keras' safe mode only",
            ) from None  # fmt: skip
        raise DataError(path, f"Keras cannot load it: {reason[:300]}") from None
