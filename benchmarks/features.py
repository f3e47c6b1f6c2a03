"""Does the feature store slow extraction down? catdog against a bare loop, photos per second.

Compared, on the same photos, batch size, decoding rule and MobileNetV2 prefix:

    catdog   ``features.ensure`` on an empty store: EXIF orientation, checksums, locking, overflow
             check and writing included
    bare     a tf.data map of decode_jpeg, resize and scale, ``batch``, ``prefetch(2)``, and one
             ``tf.function`` call of the same Keras model per batch; keeps nothing

Both run untimed on four batches, then in interleaved pairs in this process, the first of a pair
alternating, because a machine's speed drifts. The target is a median ratio of at least 0.85 by
the clock; processor time, which other programs on the machine hardly move, stands beside it.
Indexing (unpack, check and hash every photo) is timed once; it is paid once per data set. Weights
are random: the speed does not depend on them. Each side's peak memory is that of a process of its
own, which extracts four batches.

    python benchmarks/features.py [--photos PATH] [--image-size 224] [--pairs 5]
"""

from __future__ import annotations

import argparse
import concurrent.futures
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from catdog.core import runtime

runtime.configure(None)
runtime.load_tensorflow()

import tensorflow as tf

from catdog import data
from catdog.data.manifest import Manifest, Photo
from catdog.features import (
    batches,
    extraction,
)
from catdog.features.extractor import Extractor
from catdog.models import backbone
from catdog.models.pretrained import Weights
from catdog.progress import Progress
from catdog.settings import Data

PHOTOS = Path(__file__).resolve().parents[2] / "shared/data/dogs-vs-cats-2k-native.zip"
TARGET = 0.85


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="folder or zip of photos")
    parser.add_argument("--layout", choices=("kaggle", "folder"), default="kaggle")
    parser.add_argument("--limit", type=int, default=None, help="photos per class")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=5)
    return parser.parse_args()


def index(options: argparse.Namespace, cache: Path) -> tuple[Manifest, float]:
    """Unpack and check the photos; return the manifest and the seconds it took."""
    start = time.perf_counter()
    choice = Data(name=options.layout, path=str(options.photos), limit=options.limit)
    return data.prepare(choice, cache, Progress()), time.perf_counter() - start


def build(image_size: int, batch_size: int) -> Extractor:
    """Build MobileNetV2 up to its pooled features."""
    network = backbone.build(
        "mobilenet_v2",
        image_size=image_size,
        alpha=1.0,
        weights=Weights("none", "", None, ""),
        seed=0,
    )
    return Extractor(
        backbone.prefix(network, pooling="avg"),
        batches.preprocessing(image_size, "squash", network.scaling),
        {"benchmark": True},
        "float16",
        batch_size,
    )


class Catdog:
    """An extraction into a store that is empty."""

    def __init__(self, extractor: Extractor) -> None:
        self._extractor = extractor

    def run(self, photos: Sequence[Photo]) -> None:
        """Fill a store in a new folder."""
        with tempfile.TemporaryDirectory(prefix="catdog-benchmark-") as folder:
            held = extraction.ensure(Path(folder), self._extractor, photos, progress=Progress())
            assert len(held.labels) == len(photos)


class Bare:
    """The least code that computes the same features."""

    def __init__(self, extractor: Extractor) -> None:
        side, self._batch_size = extractor.prefix.input_shape[1], extractor.batch_size
        self._side = side
        self._compute = tf.function(
            lambda photos: extractor.prefix(photos, training=False),
            input_signature=[tf.TensorSpec((None, side, side, 3), tf.float32)],
        )

    def run(self, photos: Sequence[Photo]) -> None:
        """Compute, and throw away."""
        paths = tf.data.Dataset.from_tensor_slices([photo.source for photo in photos])
        decoded = paths.map(self._load, num_parallel_calls=tf.data.AUTOTUNE)
        count = 0
        for batch in decoded.batch(self._batch_size).prefetch(2):
            count += len(self._compute(batch).numpy())
        assert count == len(photos)

    def _load(self, path: tf.Tensor) -> tf.Tensor:
        photo = tf.io.decode_jpeg(tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE")
        return tf.image.resize(photo, (self._side, self._side)) / 127.5 - 1.0


SIDES: dict[str, type[Catdog] | type[Bare]] = {"catdog": Catdog, "bare": Bare}


def rates(side: Catdog | Bare, photos: Sequence[Photo]) -> tuple[float, float]:
    """Return photos per second of one pass, by the clock and of processor time."""
    clock, processor = time.perf_counter(), time.process_time()
    side.run(photos)
    return (
        len(photos) / (time.perf_counter() - clock),
        len(photos) / (time.process_time() - processor),
    )


def peak_mib(name: str, options: argparse.Namespace, photos: Sequence[Photo]) -> float:
    """Return the peak memory of a process that runs one side and nothing else."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(
            _peak_mib, name, options.image_size, options.batch_size, list(photos)
        ).result()


def _peak_mib(name: str, image_size: int, batch_size: int, photos: Sequence[Photo]) -> float:
    SIDES[name](build(image_size, batch_size)).run(photos)
    # not getrusage, whose maximum a child inherits from its parent
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").open())
    return int(status["VmHWM"].split()[0]) / 2**10


def unique(photos: Sequence[Photo]) -> list[Photo]:
    """Drop byte-identical photos, which the store would compute once."""
    return list({photo.sha256: photo for photo in photos}.values())


def main() -> None:
    """Measure and print the table."""
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="catdog-benchmark-") as cache:
        manifest, indexing = index(options, Path(cache))
        photos = unique(manifest.photos)
        few = photos[: 4 * options.batch_size]
        extractor = build(options.image_size, options.batch_size)
        sides = {name: side(extractor) for name, side in SIDES.items()}
        for side in sides.values():
            side.run(few)
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        for pair in range(options.pairs):
            for name in sorted(sides, reverse=bool(pair % 2)):
                measured[name].append(rates(sides[name], photos))
        memory = {name: peak_mib(name, options, few) for name in sides}
    print(f"{len(photos)} photos, {options.image_size} px, medians of {options.pairs} pairs")
    report(measured, memory)
    print(f"indexing {len(photos) / indexing:.0f} photos/s ({indexing:.1f} s, once per data set)")


def report(measured: dict[str, list[tuple[float, float]]], memory: dict[str, float]) -> None:
    """Print medians, ratios and the verdict."""
    print(f"{'':8s}{'photos/s':>10s}{'per processor second':>22s}{'peak MiB':>10s}")
    for name, results in measured.items():
        clock, processor = (statistics.median(kind) for kind in zip(*results, strict=True))
        print(f"{name:8s}{clock:10.1f}{processor:22.1f}{memory[name]:10.0f}")
    pairs = list(zip(*measured.values(), strict=True))
    clock, processor = (
        statistics.median(ours[i] / bare[i] for ours, bare in pairs) for i in (0, 1)
    )
    print(f"{'ratio':8s}{clock:10.2f}{processor:22.2f}{memory['catdog'] / memory['bare']:10.2f}")
    print(
        f"target: {TARGET} x the bare loop by the clock: {'met' if clock >= TARGET else 'MISSED'}"
    )


if __name__ == "__main__":
    main()
