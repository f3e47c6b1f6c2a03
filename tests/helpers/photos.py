"""Photos of ramps and noise, and their pixels as Pillow decodes them."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from catdog.data.manifest import Photo


def drawn(folder, sizes, *, suffix=".png", orientation=1):
    """Draw one photo per (height, width): a coloured ramp with some noise."""
    rng = np.random.default_rng(len(sizes))
    photos = []
    for i, (height, width) in enumerate(sizes):
        rows, columns = np.mgrid[:height, :width]
        ramp = np.stack([rows * 255 / height, columns * 255 / width, 0 * rows + 20 * i % 255], 2)
        pixels = np.clip(ramp + rng.normal(0, 12, ramp.shape), 0, 255).astype(np.uint8)
        image, path = Image.fromarray(pixels), folder / f"{orientation}-{i}{suffix}"
        exif = image.getexif()
        exif[0x0112] = orientation
        image.save(path, exif=exif)
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        photo = Photo(path.name, str(path), i % 2, "train", len(data), sha256, orientation)
        photos.append(photo)
    return photos


def twelve(folder):
    """Draw twelve photos of different sizes."""
    folder.mkdir()
    return drawn(folder, [(20 + 3 * i, 50 - 2 * i) for i in range(12)])


def pixels(path: str | Path) -> np.ndarray:
    """Return a photo as Pillow decodes it, upright, (height, width, 3) uint8."""
    with Image.open(path) as photo:
        return np.asarray(ImageOps.exif_transpose(photo).convert("RGB"))
