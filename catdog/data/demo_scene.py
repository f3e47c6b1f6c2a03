"""What surrounds the animal of a demo picture: background, things in front of it, the camera."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from catdog.data.demo_pen import GLARE, Pen, mix, pick

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
