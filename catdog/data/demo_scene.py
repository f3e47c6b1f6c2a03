"""What draws the demo pictures: smooth shapes in head radii, colours, background and camera.

Positions and lengths are in head radii, x to the right, y down, the centre of the head at (0, 0).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, ...]
"""Red, green, blue and where given alpha, each 0 to 255."""

Points = Sequence[tuple[float, float]] | np.ndarray
"""(n, 2) positions in head radii."""

GLARE = (255, 255, 255, 110)
"""Colour of a reflection on a shiny surface."""

_ANGLES = np.linspace(0, 2 * np.pi, 28, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_STEPS = np.linspace(0, 1, 9)
_BEZIER = np.stack([(1 - _STEPS) ** 2, 2 * _STEPS * (1 - _STEPS), _STEPS**2], axis=1)


class Pen:
    """Draws shapes given in head radii onto a picture in pixels.

    Args:
        picture: The picture.
        centre: (2,) pixels, the centre of the head.
        scale: Pixels per head radius.
        tilt: Rotation of the head in radians.
    """

    def __init__(
        self, picture: Image.Image, *, centre: np.ndarray, scale: float, tilt: float
    ) -> None:
        self._canvas = ImageDraw.Draw(picture, "RGBA")
        self._centre, self._scale = centre, scale
        self._turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])

    def _pixels(self, points: np.ndarray) -> list[float]:
        return (self._centre + self._scale * points @ self._turn).ravel().tolist()

    def blob(self, points: Points, fill: Colour) -> None:
        """Fill the closed Catmull-Rom spline through the points."""
        self._canvas.polygon(self._pixels(spline(np.asarray(points, float))), fill=fill)

    def oval(
        self, x: float, y: float, rx: float, ry: float, fill: Colour, slant: float = 0.0
    ) -> None:
        """Fill an ellipse with centre (x, y) whose right end is raised by ``slant`` radians."""
        cos, sin = np.cos(slant), np.sin(slant)
        outline = _CIRCLE * (rx, ry) @ np.array([[cos, -sin], [sin, cos]]) + (x, y)
        self._canvas.polygon(self._pixels(outline), fill=fill)

    def stroke(self, points: Points, fill: Colour, width: float = 0.03) -> None:
        """Draw the quadratic Bézier curve given by its start, control point and end."""
        curve = _BEZIER @ np.asarray(points, float)
        thick = max(1, round(width * self._scale))
        self._canvas.line(self._pixels(curve), fill=fill, width=thick, joint="curve")


def spline(points: np.ndarray, steps: int = 8) -> np.ndarray:
    """Sample the closed Catmull-Rom spline through (n, 2) points, ``steps`` times between two."""
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (np.roll(points, shift, axis=0)[:, None] for shift in (1, 0, -1, -2))
    bend = (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    return (p1 + 0.5 * ((p2 - p0) * t + bend)).reshape(-1, 2)


def symmetric(half: Points, x: float = 0.0) -> list[tuple[float, float]]:
    """Complete an outline from its right half, given relative to the axis at ``x``.

    Example:
        >>> symmetric([(0, -1), (1, 0)])
        [(0.0, -1), (1.0, 0), (-1.0, 0)]
    """
    return [(x + dx, y) for dx, y in half] + [(x - dx, y) for dx, y in reversed(half) if dx]


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour between two, with the share of the second in [0, 1].

    Example:
        >>> mix((0, 0, 0), (200, 100, 50), 0.5)
        (100, 50, 25)
    """
    return tuple(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))


def pick(colours: Sequence[Colour], rng: np.random.Generator, spread: float = 14) -> Colour:
    """Draw one of some colours, varied by normal noise of this standard deviation."""
    colour = np.array(colours[int(rng.integers(len(colours)))])
    varied = colour + rng.normal(0, spread / 2, 3) + rng.normal(0, spread)
    return tuple(int(c) for c in np.clip(varied, 8, 255))


SCENES = (  # above, below, ornaments
    ((168, 212, 238), (134, 184, 104), (96, 148, 78)),
    ((246, 216, 176), (196, 148, 106), (228, 176, 132)),
    ((206, 190, 222), (150, 128, 166), (228, 216, 240)),
    ((186, 220, 206), (112, 160, 150), (232, 240, 226)),
    ((240, 188, 184), (186, 120, 122), (250, 222, 212)),
    ((90, 104, 138), (56, 62, 88), (150, 160, 196)),
    ((226, 226, 220), (168, 160, 150), (202, 196, 188)),
    ((250, 226, 140), (214, 168, 84), (255, 244, 206)),
)
TINTS = tuple(below for _, below, _ in SCENES)
"""Colours of the lower halves, which collars and occluders have too."""


def background(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """Return a background: painted small and enlarged, so that it looks out of focus.

    Args:
        size: Width and height in pixels.
        rng: Decides about colours, ornaments and the horizon.
    """
    above, below, ornament = (pick([c], rng) for c in SCENES[rng.integers(len(SCENES))])
    width, height = (max(1, side // 4) for side in size)
    horizon = height * rng.uniform(0.45, 0.9)
    picture = Image.new("RGB", (width, height), above)
    canvas = ImageDraw.Draw(picture, "RGBA")
    style = rng.choice(["stripes", "lights", "window", "hills"])
    if style == "stripes":
        for x in np.arange(rng.uniform(-9, 0), width, rng.uniform(9, 20)):
            canvas.line([x, 0, x, height], fill=(*ornament, 130), width=int(rng.integers(2, 8)))
    elif style == "lights":
        for x, y, radius in rng.uniform((0, 0, 2), (width, height, 11), (14, 3)):
            canvas.ellipse([x - radius, y - radius, x + radius, y + radius], (*ornament, 110))
    elif style == "window":
        left, top = rng.uniform(-0.2, 0.6) * width, rng.uniform(-0.2, 0.1) * height
        pane = [left, top, left + 0.55 * width, top + 0.6 * height]
        canvas.rectangle(pane, mix(ornament, (255, 255, 255), 0.4), below, 3)
    else:
        for x, radius in rng.uniform((0, 0.2), (width, 0.6), (4, 2)) * (1, width):
            canvas.ellipse([x - radius, horizon - radius / 2, x + radius, height * 2], ornament)
    canvas.rectangle([0, horizon, width, height], below)
    return picture.resize(size, Image.Resampling.BILINEAR)


def draw_occluder(pen: Pen, rng: np.random.Generator) -> None:
    """Draw a ball, leaves or bars in front of three faces in ten."""
    what = rng.choice(["nothing", "ball", "leaves", "bars"], p=[0.7, 0.11, 0.11, 0.08])
    colour, angle = pick(TINTS, rng, 30), rng.uniform(0, 2 * np.pi)
    x, y = 0.8 * np.cos(angle), 0.8 * np.sin(angle)
    if what == "ball":
        r = rng.uniform(0.3, 0.5)
        pen.oval(x, y, r, r, colour)
        pen.stroke([(x - r, y), (x, y + 0.7 * r), (x + r, y)], (250, 246, 240), 0.09)
        pen.oval(x - 0.3 * r, y - 0.45 * r, 0.3 * r, 0.2 * r, GLARE, 0.6)
    elif what == "leaves":
        green = mix(colour, (84, 146, 70), 0.7)
        for turn in angle + np.array([-0.5, 0.1, 0.6]):
            stalk = np.array([np.cos(turn), np.sin(turn)])
            bulge = 0.35 * np.array([np.sin(turn), -np.cos(turn)])
            tip, root = np.array([0.5 * x, 0.5 * y]), np.array([x, y]) + 1.3 * stalk
            middle = (tip + root) / 2
            pen.blob(np.array([tip, tip, middle + bulge, root, root, middle - bulge]), green)
            pen.stroke(np.array([tip, middle, root]), mix(green, (255, 255, 255), 0.3))
    elif what == "bars":
        slope = rng.uniform(-0.4, 0.4)
        for bar in np.arange(-3, 3, rng.uniform(0.7, 1.1)):
            pen.stroke([(bar, -4), (bar + slope, 0), (bar + 2 * slope, 4)], colour, 0.12)


def photograph(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the picture with what a camera adds: defocus, uneven light, a tint, sensor noise."""
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.3)))
    pixels = np.asarray(picture, dtype=np.float32)
    height, width, _ = pixels.shape
    across, down = rng.uniform(-0.25, 0.25, 2)
    slopes = np.linspace(-down, down, height), np.linspace(-across, across, width)
    light = rng.uniform(0.75, 1.15) + np.add.outer(*slopes).astype(np.float32)
    lit = pixels * light[:, :, None] * rng.normal(1.0, 0.05, 3).astype(np.float32)
    lit += rng.standard_normal((height, width, 1), dtype=np.float32) * np.float32(
        rng.uniform(1, 8)
    )
    return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
