"""What draws the demo pictures: smooth shapes in head radii, and colours that vary.

Positions and lengths are in head radii, x to the right, y down, the centre of the head at (0, 0).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

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
