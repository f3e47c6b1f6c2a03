"""The data set ``cats_vs_dogs`` of tensorflow-datasets (an extra), exported as class folders."""

from __future__ import annotations

from pathlib import Path

from catdog.core import runtime
from catdog.core.files import make_once
from catdog.errors import ConfigError, DataError
from catdog.progress import Progress

NAME = "cats_vs_dogs"


def export_cats_vs_dogs(data_dir: str | None, cache_dir: Path, progress: Progress) -> Path:
    """Export the photos of ``cats_vs_dogs`` once, with the bytes that TFDS stores.

    Args:
        data_dir: TFDS' folder of data sets, None for its default; the data set is downloaded into
            it if it is missing.
        cache_dir: Folder of the cache; photos go to ``photos/<data set and version>`` in it.
        progress: Receives the progress of the export.

    Returns:
        The folder with the folders ``cat`` and ``dog``.

    Raises:
        ConfigError: tensorflow-datasets is not installed.
        DataError: the data set is missing and cannot be downloaded.
    """
    runtime.load_tensorflow()
    try:
        import tensorflow_datasets as tfds
    except ImportError:
        raise ConfigError(
            "data", "tfds", "needs tensorflow-datasets", 'pip install "catdog-lab[tfds]"'
        ) from None
    try:
        builder = tfds.builder(NAME, data_dir=data_dir)
        builder.download_and_prepare()
    except Exception as error:  # TFDS raises whatever its downloader raised
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            data_dir or "~/tensorflow_datasets",
            f"{NAME} is not there and cannot be downloaded ({reason})",
            "data=kaggle and data=folder read photos that you have",
        ) from None
    version = f"{NAME}-{builder.info.version}-{builder.info.dataset_size}"
    target = cache_dir / "photos" / version
    make_once(target, lambda folder: _export(builder, folder, progress))
    return target


def _export(builder, folder: Path, progress: Progress) -> None:  # noqa: ANN001
    import tensorflow_datasets as tfds

    names = builder.info.features["label"].names
    data = builder.as_dataset(split="all", decoders={"image": tfds.decode.SkipDecoding()})
    for name in names:
        (folder / name).mkdir()
    total = sum(split.num_examples for split in builder.info.splits.values())
    with progress.track(f"Exporting {NAME}", total) as advance:
        for number, example in enumerate(data.as_numpy_iterator()):
            photo = folder / names[example["label"]] / f"{number:06d}.jpg"
            photo.write_bytes(example["image"])
            advance(1)
