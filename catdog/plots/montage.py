"""A grid of photos with captions, as one PNG.

Drawn with Pillow: drawn with matplotlib it took most of the time that a trial spent on pictures.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from catdog.data.manifest import Photo
from catdog.errors import shown
from catdog.plots.style import COLORS, drawable, fonts, shorten

MAX_PHOTOS = 25
"""Largest number of photos in one picture."""

WIDTH = 990
"""Width of the picture, in pixels like all lengths here."""

EDGE, GAP = 30, 15
"""Margin around the picture, and between photos."""

HEAD, FOOT = 68, 46
"""Height above all photos, and below each photo for its caption."""

LINE = 19
"""Height of a line of a caption."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transposition that turns a photo upright, by its EXIF orientation; 1 is upright."""


def thumbnail(photo: Photo, size: int = 160) -> NDArray[np.uint8]:
    """Read a photo at a reduced size, upright.

    Args:
        photo: A photo of the manifest.
        size: Length of the longer side in pixels.

    Returns:
        (height, width, 3) uint8.
    """
    with Image.open(photo.source) as opened:
        opened.draft("RGB", (size, size))  # a large JPEG is decoded at a fraction of its size
        small = ImageOps.contain(opened.convert("RGB"), (size, size), Image.Resampling.BILINEAR)
    turned = small.transpose(TURNS[photo.orientation]) if photo.orientation > 1 else small
    return np.asarray(turned)


def save(
    path: str | Path,
    *,
    photos: Sequence[NDArray[np.uint8]],
    captions: Sequence[str],
    title: str,
    nothing: str = "no mistakes on the test photos",
) -> None:
    """Draw a grid of photos, such as those wrongly classified, each whole and with its caption.

    Args:
        path: The PNG file to write.
        photos: (h, w, 3) uint8 each, of any size; the first 25 are drawn.
        captions: One per photo, of one or two lines; long lines lose their middle.
        title: Heading of the picture.
        nothing: Text shown if there are no photos.
    """
    shown = list(zip(photos, captions, strict=True))[:MAX_PHOTOS]
    columns = 3 if len(shown) <= 3 else 4 if len(shown) <= 8 else 5
    side = (WIDTH - 2 * EDGE + GAP) // columns - GAP
    rows = math.ceil(len(shown) / columns)
    height = HEAD + rows * (side + FOOT) + GAP if shown else 264
    picture = Image.new("RGB", (WIDTH, height), "white")
    pen = ImageDraw.Draw(picture)
    _write(pen, (EDGE, 40), title, size=19, bold=True, room=WIDTH - 2 * EDGE)
    if not shown:
        pen.text((WIDTH / 2, 160), nothing, COLORS["ink"], _font(24), anchor="mm")
    for index, (photo, caption) in enumerate(shown):
        row, column = divmod(index, columns)
        left, top = EDGE + column * (side + GAP), HEAD + row * (side + FOOT)
        _draw_photo(picture, photo, caption, left=left, top=top, side=side)
    # photos hardly shrink: more effort than this costs ten times the time for 5 % of the bytes
    picture.save(path, "PNG", compress_level=1)


def _draw_photo(
    picture: Image.Image,
    photo: NDArray[np.uint8],
    caption: str,
    *,
    left: int,
    top: int,
    side: int,
) -> None:
    """Draw a photo in its square, whose upper left corner is given, and the caption below."""
    pen = ImageDraw.Draw(picture)
    pen.rectangle((left, top, left + side - 1, top + side - 1), COLORS["empty"])
    _place(picture, photo, left=left, top=top, side=side)
    for line, text in enumerate(caption.split("\n")[:2]):
        at = (left, top + side + LINE * line + 15)
        _write(pen, at, text, size=12, bold=line == 0, room=side)


def _place(
    picture: Image.Image, photo: NDArray[np.uint8], *, left: int, top: int, side: int
) -> None:
    """Paste a photo into the middle of its square, as large as it fits."""
    height, width = photo.shape[:2]
    wide, high = (max(1, round(side * n / max(height, width))) for n in (width, height))
    small = Image.fromarray(photo).resize((wide, high), Image.Resampling.BILINEAR)
    picture.paste(small, (left + (side - wide) // 2, top + (side - high) // 2))


def _write(
    pen: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    *,
    size: int,
    bold: bool,
    room: int,
) -> None:
    """Write a line that starts at a point of its baseline; one too long loses its middle."""
    line = drawable(shown(text))
    font = _font(size, bold=bold, file=_file_for(line))
    if (long := font.getlength(line)) > room:
        line = shorten(line, int(len(line) * room / long))
    color = COLORS["ink"] if bold else COLORS["muted"]
    pen.text(at, line, color, font, anchor="ls")


@functools.cache
def _font(size: int, *, bold: bool = False, file: str = "") -> ImageFont.FreeTypeFont:
    """Return a font, that of the other pictures if no file is named; ``size`` in pixels."""
    import matplotlib

    if file:
        return ImageFont.truetype(file, size)
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{name}", size)


def _file_for(line: str) -> str:
    """Return the file of the font that has most signs of a line; empty for the usual one."""
    if line.isascii():
        return ""
    counts = [sum(ord(sign) in font.signs for sign in line) for font in fonts()]
    best = counts.index(max(counts))
    return fonts()[best].file if best else ""
