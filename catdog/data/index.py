"""From the settings of the data group to a manifest: unpack or draw, find, check, split."""

from __future__ import annotations

import tempfile
from pathlib import Path

from catdog.core.paths import expanded
from catdog.data import demo, exclusions, folders, manifest, scan, spelling, split
from catdog.data.packed import archive
from catdog.data.packed.members import without_ending
from catdog.errors import ConfigError, DataError
from catdog.progress import Progress
from catdog.settings import Data


def prepare(
    choice: Data,
    cache_dir: Path,
    progress: Progress,
    threads: int | None = None,
    *,
    to_train: bool = True,
) -> manifest.Manifest:
    """Find, check and split the photos of a data set.

    Args:
        choice: Settings of the data group.
        cache_dir: Folder of the cache, for unpacked archives, drawings, verdicts and PNG copies.
        progress: Receives the progress of unpacking, drawing and checking.
        threads: Number of threads that check photos; None means one for each core.
        to_train: Whether a model is trained on them; any number of photos can be predicted.

    Returns:
        The manifest: all good photos with label and split, and the others with the reason.

    Raises:
        ConfigError: ``data=tfds`` without tensorflow-datasets.
        DataError: there are no usable photos; the message names the file or folder and the fix.
    """
    root = _root(choice, cache_dir, progress)
    classes = [spelling.composed(name) for name in choice.classes or ()]
    find = folders.find_by_name if choice.name == "kaggle" else folders.find_in_folders
    found = find(root, progress.note, classes)
    if not found:
        raise DataError(root, "the class folders are empty", "Put photos in them")
    paths = [item.path for item in found]
    verdicts = scan.check_all(paths, cache_dir, progress, threads)
    sources = [
        str(scan.converted_path(v.sha256, cache_dir)) if v.converted else path
        for path, v in zip(paths, verdicts, strict=True)
    ]
    built = split.build(
        root,
        found,
        verdicts,
        sources,
        val_fraction=choice.val_fraction,
        test_fraction=choice.test_fraction,
        split_seed=choice.split_seed,
        limit=choice.limit,
        classes=classes or None,
        on_bad_image=choice.on_bad_image,
        duplicates=choice.duplicates,
        to_train=to_train,
    )
    if choice.drop is None:
        return built
    listed = exclusions.read(expanded(choice.drop), choice.drop_above)
    reduced = exclusions.apply(built, listed, choice.drop)
    progress.note(f"Left {reduced.dropped:,} photos of {choice.drop} out of training")
    return reduced


def _root(choice: Data, cache_dir: Path, progress: Progress) -> Path:
    """Return the folder with the photos, which are drawn, exported or unpacked if need be."""
    if choice.name == "demo":
        return demo.ensure(cache_dir / "photos" / "demo", notify=progress.note)
    if choice.name == "tfds":
        from catdog.data import tfds  # tensorflow-datasets is an extra

        return tfds.export_cats_vs_dogs(choice.path, cache_dir, progress)
    path, by_name = expanded(choice.path or "").absolute(), choice.name == "kaggle"
    if path.is_file() or (without_ending(path.name) and not path.is_dir()):
        return archive.unpack(path, cache_dir, progress, only_train=by_name)
    inner = path / "train.zip"
    if by_name and inner.is_file() and not (path / "train").is_dir():
        return archive.unpack(inner, cache_dir, progress)  # Kaggle's outer zip, unpacked by hand
    return path


def require_writable(root: Path) -> None:
    """Make the cache folder, and check that it can be written before any work is done.

    Args:
        root: The folder.

    Raises:
        ConfigError: it cannot be written; the message names ``features.dir``.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):  # no name that somebody could have planted
            pass
    except OSError as error:
        raise ConfigError(
            "features.dir", root, f"cannot be written ({error.strerror})", "features.dir=<folder>"
        ) from None
