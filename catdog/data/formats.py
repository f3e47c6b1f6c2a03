"""Checks a photo's bytes: whether they are a photo, its orientation, whether TensorFlow reads it.

Imports nothing of catdog: a copy of this file is part of the logged model, so that serving treats
rare formats as training did.
"""

from __future__ import annotations

import io
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

VERSION = 2
"""Part of the keys of stored verdicts and features; to be raised when a verdict changes."""

MAX_PIXELS = 100_000_000
"""Largest number of pixels: larger pictures are refused, as they take over 300 MB decoded."""

MAX_BYTES = 200_000_000
"""Largest size of a file: larger ones are not read, as they need as much memory."""

MAX_SIDE = 65_535
"""Longest side in pixels: JPEG's limit; TensorFlow's PNG decoder fails at a million."""

TF_READS = {
    "JPEG": {"L", "RGB"},
    "PNG": {"1", "L", "LA", "P", "RGB", "RGBA"},
    "WEBP": {"RGB"},
}
"""By format, the Pillow modes that TensorFlow decodes to the same pixels (a test compares)."""

ORIENTATION_TAG = 0x0112


class Facts(NamedTuple):
    """What is known about a good photo.

    Attributes:
        orientation: EXIF orientation, 1 to 8.
        format: Pillow's format and mode, such as ``JPEG RGB``.
        png: A copy as PNG if TensorFlow cannot read the photo, else None.
    """

    orientation: int
    format: str
    png: bytes | None


def inspect(data: bytes) -> Facts:
    """Decode a photo completely with Pillow and return what is known about it.

    Args:
        data: The file's bytes.

    Raises:
        ValueError: the bytes are no usable photo; the message says why in a few words.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (8, 8)).save(file, "JPEG")
        >>> inspect(file.getvalue())
        Facts(orientation=1, format='JPEG RGB', png=None)
        >>> inspect(b"no photo")
        Traceback (most recent call last):
        ValueError: not an image
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


def pixels(data: bytes) -> int:
    """Return a photo's number of pixels as its header says, without decoding it.

    Args:
        data: The file's bytes.

    Raises:
        ValueError: the bytes have no header of a photo.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (8, 5)).save(file, "PNG")
        >>> pixels(file.getvalue())
        40
    """
    try:
        with Image.open(io.BytesIO(data)) as photo:
            return photo.width * photo.height
    except Image.DecompressionBombError:
        raise ValueError("a decompression bomb") from None
    except UnidentifiedImageError:
        raise ValueError("not an image" if data else "empty file") from None
    except Exception as error:  # Pillow's plugins raise whatever their readers do
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
        return data[24] != 16 and _is_complete_png(data)
    if photo.format == "JPEG":
        return data.rstrip(b"\0").endswith(b"\xff\xd9")
    return b"ANMF" not in data  # TensorFlow refuses opaque animations


def _is_complete_png(data: bytes) -> bool:
    """Return whether all checksums are right: Pillow decodes other files too, TensorFlow not."""
    if b"\0\0\0\0IEND\xaeB`\x82" not in data:  # verify() does not check the last chunk
        return False
    try:
        with Image.open(io.BytesIO(data)) as photo:
            photo.verify()
    except Exception:
        return False
    return True


def _to_png(photo: Image.Image) -> bytes:
    if photo.mode.startswith("I"):  # 16 bits: Pillow's convert clips them instead of scaling
        photo = photo.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    png = io.BytesIO()
    photo.convert("RGB").save(png, "PNG")
    return png.getvalue()
