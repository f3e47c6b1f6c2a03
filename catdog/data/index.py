"""From the data group's choices to a manifest: unpack or draw, find, check, split."""

from __future__ import annotations

import os
from pathlib import Path

from catdog.data import archive, demo, exclusions, manifest, scan, split
from catdog.errors import ConfigError, DataError
from catdog.progress import Progress
from catdog.settings import Data


def prepare(
    choice: Data, cache_dir: Path, progress: Progress, threads: int | None = None
) -> manifest.Manifest:
    """Index the photos that ``choice`` names.

    Args:
        choice: The data group's settings.
        cache_dir: Folder of the cache, for unpacked archives, verdicts and drawings.
        progress: Hears of unpacking, drawing and checking.
        threads: Size of the checking pool; null means all cores.

    Raises:
        DataError: nothing usable was found; names the file or folder and the fix.
    """
    root = _root(choice, cache_dir, progress)
    find = scan.find_by_name if choice.name == "kaggle" else scan.find_in_folders
    found = find(root)
    if not found:
        raise DataError(root, "the class folders are empty", "Put photos in them")
    paths = [item.path for item in found]
    verdicts = scan.check_all(paths, cache_dir, progress, threads)
    sources = [
        str(scan.converted_path(v.sha256, cache_dir)) if v.converted else path
        for path, v in zip(paths, verdicts, strict=True)
    ]
    made = split.build(
        root,
        found,
        verdicts,
        sources,
        val_fraction=choice.val_fraction,
        test_fraction=choice.test_fraction,
        split_seed=choice.split_seed,
        limit=choice.limit,
        classes=choice.classes,
        on_bad_image=choice.on_bad_image,
        duplicates=choice.duplicates,
    )
    if choice.drop is None:
        return made
    listed = exclusions.read(Path(choice.drop).expanduser(), choice.drop_above)
    made = exclusions.apply(made, listed, choice.drop)
    progress.note(f"Left {made.dropped:,} photos of {choice.drop} out of training")
    return made


def _root(choice: Data, cache_dir: Path, progress: Progress) -> Path:
    if choice.name == "demo":
        return demo.ensure(cache_dir / "photos" / "demo", notify=progress.note)
    if choice.name == "tfds":
        from catdog.data import tfds  # tensorflow-datasets is an extra

        return tfds.export_cats_vs_dogs(choice.path, cache_dir, progress)
    path = Path(choice.path or "").expanduser().absolute()
    if path.suffix.lower() == ".zip" or path.is_file():
        return archive.unpack(path, cache_dir, progress)
    inner = path / "train.zip"
    if choice.name == "kaggle" and inner.is_file() and not (path / "train").is_dir():
        return archive.unpack(inner, cache_dir, progress)  # Kaggle's outer zip, unpacked by hand
    return path


def require_writable(root: Path) -> None:
    """Refuse a cache folder that cannot be written, before any work is done.

    Raises:
        ConfigError: names ``features.dir``.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe = root / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            "features.dir", root, f"cannot be written ({error.strerror})", "features.dir=<folder>"
        ) from None
