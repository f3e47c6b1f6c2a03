"""Photos side by side, each with its caption, as one PNG.

Drawn by Pillow: a grid is pixels and words, and as matplotlib's images and texts it took most of
the time that a trial spends on its pictures.
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
from catdog.plots import layout
from catdog.plots.layout import STYLE

MOST = 25
"""Photos in one picture."""
WIDTH, EDGE, GAP = 990, 30, 15
HEAD, FOOT = 68, 46
"""Pixels: of the picture, around it, between photos; above all, and below each photo."""
LINE = 19


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF orientation."""


def thumbnail(photo: Photo, size: int = 160) -> NDArray[np.uint8]:
    """Return a photo as (height, width, 3) uint8, upright, its longer side ``size`` pixels."""
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
        path: The PNG to write.
        photos: (h, w, 3) uint8 each, any size; the first 25 are drawn.
        captions: One per photo, of one or two lines; long lines lose their middle.
        title: Heading of the picture.
        nothing: What to say if there is none.
    """
    shown = list(zip(photos, captions, strict=True))[:MOST]
    columns = 3 if len(shown) <= 3 else 4 if len(shown) <= 8 else 5
    side = (WIDTH - 2 * EDGE + GAP) // columns - GAP
    rows = math.ceil(len(shown) / columns)
    height = HEAD + rows * (side + FOOT) + GAP if shown else 264
    picture = Image.new("RGB", (WIDTH, height), "white")
    pen = ImageDraw.Draw(picture)
    _write(pen, (EDGE, 40), title, size=19, bold=True, room=WIDTH - 2 * EDGE)
    if not shown:
        pen.text((WIDTH / 2, 160), nothing, STYLE["ink"], _font(24), anchor="mm")
    for index, (photo, caption) in enumerate(shown):
        row, column = divmod(index, columns)
        left, top = EDGE + column * (side + GAP), HEAD + row * (side + FOOT)
        pen.rectangle((left, top, left + side - 1, top + side - 1), STYLE["empty"])
        _place(picture, photo, left=left, top=top, side=side)
        for line, text in enumerate(caption.split("\n")[:2]):
            at = (left, top + side + LINE * line + 15)
            _write(pen, at, text, size=12, bold=line == 0, room=side)
    # photos hardly shrink: more effort than this costs ten times the time for 5 % of the bytes
    picture.save(path, "PNG", compress_level=1)


def _place(
    picture: Image.Image, photo: NDArray[np.uint8], *, left: int, top: int, side: int
) -> None:
    """Put a photo into the middle of its square, as large as it fits."""
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
    """Write a line on a baseline, its middle cut out where it is longer than the room."""
    font = _font(size, bold=bold)
    words = layout.shorten(text, len(text))
    if (long := font.getlength(words)) > room:
        words = layout.shorten(text, int(len(text) * room / long))
    colour = STYLE["ink"] if bold else STYLE["muted"]
    pen.text(at, words, colour, font, anchor="ls")


@functools.cache
def _font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the letters of the other pictures, which matplotlib brings, in pixels of height."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{name}", size)
