"""What a photo's bytes are: a good photo or not, its orientation, and whether TensorFlow reads it.

Imports nothing of catdog: this file travels inside the logged model, so that serving treats odd
formats as training did.
"""

from __future__ import annotations

import io
import warnings
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

MAX_PIXELS = 100_000_000
"""Larger pictures are refused as bombs: decoded they take over 300 MB each."""

TF_READS = {
    "JPEG": {"L", "RGB"},
    "PNG": {"1", "L", "LA", "P", "RGB", "RGBA"},
    "WEBP": {"RGB"},
}
"""Format to the Pillow modes that TensorFlow decodes to the same bytes (a test compares them)."""

TF_WANTS_END = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
"""The last bytes without which TensorFlow, but not Pillow, refuses a file as truncated."""

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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # metadata that is only odd does not make a photo bad
            with Image.open(io.BytesIO(data)) as photo:
                return _facts(photo, data)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        bomb = isinstance(error, Image.DecompressionBombError)
        raise ValueError("a decompression bomb" if bomb else "not an image") from None
    except (OSError, SyntaxError, EOFError, IndexError, ValueError) as error:
        raise ValueError(f"damaged: {error}") from None


def _facts(photo: Image.Image, data: bytes) -> Facts:
    if photo.width * photo.height > MAX_PIXELS:
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
    if getattr(photo, "is_animated", False):
        return False
    if not data.rstrip(b"\0").endswith(TF_WANTS_END.get(photo.format or "", b"")):
        return False
    # byte 24 of a PNG is its bit depth; Pillow and TensorFlow round 16 bits differently
    return not (photo.format == "PNG" and data[24] == 16)


def _to_png(photo: Image.Image) -> bytes:
    if photo.mode.startswith("I"):  # 16 bits: Pillow's own convert clips instead of scaling
        photo = photo.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    png = io.BytesIO()
    photo.convert("RGB").save(png, "PNG")
    return png.getvalue()
