"""Grids of photos: any number, any shape, upright, each whole, captions inside their column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from catdog.data.manifest import Photo
from catdog.plots import montage


def ramp(height: int, width: int) -> Image.Image:
    """Draw a picture that differs from each of its turns."""
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([rows * 255 / height, columns * 255 / width, 0 * rows], axis=2)
    return Image.fromarray(pixels.astype(np.uint8))


def stored(picture: Image.Image, path: Path, orientation: int = 1) -> Photo:
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(path, exif=exif)
    return Photo(path.name, str(path), 0, "test", path.stat().st_size, "0" * 64, orientation)


@pytest.mark.parametrize("count", [0, 1, 3, 8, 25, 27])
def test_mistakes_of_any_number_and_shape(tmp_path: Path, count: int) -> None:
    shapes = [(40, 60, 3), (60, 40, 3), (1, 90, 3), (1500, 1100, 3)]
    photos = [np.full(shapes[index % 4], 9, np.uint8) for index in range(count)]
    captions = [f"cat, said $_^$ 0.98\ncat.{index}\udcff" + "x" * 90 for index in range(count)]
    path = tmp_path / "a.png"
    montage.save(path, photos=photos, captions=captions, title="t")
    image = np.asarray(Image.open(path))
    assert image.shape[1] == 990
    assert image.shape[0] <= 1230  # five rows at most
    dark = (image.max(axis=2) < 10).sum()
    assert dark > 1000 * count if count else dark == 0


def test_captions_stay_in_their_column(tmp_path: Path) -> None:
    """Between columns, and at both edges, the paper is white over the whole height."""
    photos = [np.full((50, 50, 3), 9, np.uint8)] * 10
    montage.save(tmp_path / "a.png", photos=photos, captions=["W" * 90] * 10, title="t")
    pixels = np.asarray(Image.open(tmp_path / "a.png"))[montage.HEAD :]
    assert (pixels == 255).all(axis=(0, 2)).sum() >= 4 * (montage.GAP - 2) + 2 * montage.EDGE - 15


@pytest.mark.parametrize(
    ("size", "expected"), [((40, 80), (16, 32)), ((90, 30), (32, 11)), ((9, 9), (32, 32))]
)
def test_thumbnails_keep_the_aspect_ratio(
    tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    small = montage.thumbnail(stored(ramp(*size), tmp_path / "a.png"), 32)
    assert (small.dtype, small.shape) == (np.uint8, (*expected, 3))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_thumbnails_are_upright(tmp_path: Path, orientation: int) -> None:
    photo = stored(ramp(300, 200), tmp_path / "a.jpg", orientation)
    upright = ImageOps.exif_transpose(Image.open(photo.source))
    expected = np.asarray(ImageOps.contain(upright, (48, 48))).astype(int)
    small = montage.thumbnail(photo, 48).astype(int)
    assert small.shape == expected.shape
    assert np.abs(small - expected).mean() < 3
