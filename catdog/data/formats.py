"""What a photo's bytes are: a good photo or not, its orientation, and whether TensorFlow reads it.

Imports nothing of catdog: this file travels inside the logged model, so that serving treats odd
formats as training did.
"""

from __future__ import annotations

import io
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

VERSION = 2
"""Part of remembered verdicts' and stored features' keys: raise it when a verdict changes."""

MAX_PIXELS = 100_000_000
"""Larger pictures are refused as bombs: decoded they take over 300 MB each."""

MAX_SIDE = 65_535
"""JPEG's own limit; TensorFlow's PNG reader gives up at a million."""

TF_READS = {
    "JPEG": {"L", "RGB"},
    "PNG": {"1", "L", "LA", "P", "RGB", "RGBA"},
    "WEBP": {"RGB"},
}
"""Format to the Pillow modes that TensorFlow decodes to the same bytes (a test compares them)."""

ORIENTATION_TAG = 0x0112


class Facts(NamedTuple):
    """A good photo: EXIF orientation (1 to 8), its format, a PNG copy if TensorFlow needs one."""

    orientation: int
    format: str
    png: bytes | None


def inspect(data: bytes) -> Facts:
    """Decode all of a photo with Pillow.

    Args:
        data: The file's bytes.

    Raises:
        ValueError: says in a few words why this is no usable photo.
    """
    if not data:
        raise ValueError("empty file")
    try:
        with Image.open(io.BytesIO(data)) as photo:
            return _facts(photo, data)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        bomb = isinstance(error, Image.DecompressionBombError)
        raise ValueError("a decompression bomb" if bomb else "not an image") from None
    except Exception as error:  # Pillow's plugins raise whatever their decoders do
        raise ValueError(f"damaged: {error}") from None


def _facts(photo: Image.Image, data: bytes) -> Facts:
    if photo.width * photo.height > MAX_PIXELS or max(photo.size) > MAX_SIDE:
        raise Image.DecompressionBombError
    photo.load()
    orientation = photo.getexif().get(ORIENTATION_TAG, 1)
    png = None if _tf_reads(photo, data) else _to_png(photo)
    return Facts(
        orientation if orientation in range(2, 9) else 1, f"{photo.format} {photo.mode}", png
    )


def _tf_reads(photo: Image.Image, data: bytes) -> bool:
    if photo.mode not in TF_READS.get(photo.format or "", ()):
        return False
    if photo.format == "PNG":
        # byte 24 is the bit depth; Pillow and TensorFlow round 16 bits differently
        return data[24] != 16 and _verifies(data)
    if photo.format == "JPEG":
        return data.rstrip(b"\0").endswith(b"\xff\xd9")
    return b"ANMF" not in data  # TensorFlow refuses opaque animations


def _verifies(data: bytes) -> bool:
    """Say whether a PNG is whole to the last checksum: Pillow shows others too, TensorFlow not."""
    if b"\0\0\0\0IEND\xaeB`\x82" not in data:  # verify() takes the end as read
        return False
    try:
        with Image.open(io.BytesIO(data)) as photo:
            photo.verify()
    except Exception:
        return False
    return True


def _to_png(photo: Image.Image) -> bytes:
    if photo.mode.startswith("I"):  # 16 bits: Pillow's own convert clips instead of scaling
        photo = photo.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    png = io.BytesIO()
    photo.convert("RGB").save(png, "PNG")
    return png.getvalue()
