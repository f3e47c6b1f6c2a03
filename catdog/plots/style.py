"""What all pictures share: colours, how numbers and names are written, where axes have ticks."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catdog.errors import shown

COLORS = {
    "ink": "#2b2f36",
    "muted": "#68707c",
    "grid": "#e6e8ec",
    "empty": "#f4f5f7",
    "main": "#3a6ea5",
    "faint": "#b4c7dc",
    "wrong": "#cf7a2c",
    "valley": "#3f8a5c",
    "steep": "#c4642a",
    "minimum": "#7d5ba6",
    "train": "#8d98a7",
    "val": "#3a6ea5",
    "lr": "#2b2f36",
    "complete": "#3a6ea5",
    "pruned": "#8d98a7",
    "failed": "#cf7a2c",
    "best": "#3f8a5c",
}
"""Colour by use: text, grid and surfaces first; then suggestions, series and trials by name."""


def format_lr(lr: float) -> str:
    """Write a learning rate as on the command line.

    Example:
        >>> format_lr(0.001), format_lr(0.00123), format_lr(0)
        ('1e-03', '1.2e-03', '0')
    """
    return f"{lr:.1e}".replace(".0e", "e") if lr else "0"


def shorten(text: str, length: int) -> str:
    """Cut the middle out of a text that is too long: names often differ only at their ends.

    Args:
        text: Any text; what is no sign, such as a line break or a byte of a file name that is no
            text, is shown as its code.
        length: Largest number of characters.

    Example:
        >>> shorten("mobilenet_v3_large", 9)
        'mobi…arge'
    """
    text = shown(text)
    head = (length - 1) // 2
    return text if len(text) <= length else f"{text[:head]}…{text[head + 1 - length :]}"


def shorten_all(names: Sequence[str], length: int) -> list[str]:
    """Shorten names so that they stay different: to twice the length if need be, or numbered.

    Example:
        >>> shorten_all(["collie, rough, long", "collie, smooth, long", "pug"], 12)
        ['collie,…gh, long', 'collie,…th, long', 'pug']
        >>> shorten_all(["a" * 9 + "b" * 9, "a" * 8 + "b" * 10], 8)
        ['aaa… (1)', 'aaa… (2)']
    """
    whole = [shown(name) for name in names]
    for room in range(length, 2 * length + 1):
        short = [shorten(name, room) for name in whole]
        if len(set(short)) == len(set(whole)):
            return short
    twice = {name for name, count in Counter(short).items() if count > 1}
    tags = [f"… ({k})" for k in range(1, len(names) + 1)]
    return [
        name[: length - len(tag)] + tag if cut in twice else cut
        for name, cut, tag in zip(whole, short, tags, strict=True)
    ]


FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans JP", "Noto Sans KR",
    "Source Han Sans SC", "Source Han Sans", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei",
    "Droid Sans Fallback", "IPAGothic", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic",
    "PingFang SC", "Hiragino Sans", "Arial Unicode MS", "Noto Sans Thai", "Noto Sans Devanagari",
)  # fmt: skip
"""Fonts for what matplotlib's own has no signs for, where they are installed."""


class Font(NamedTuple):
    """A font: its family, its file, and the code points it has signs for."""

    family: str
    file: str
    signs: frozenset[int]


@functools.cache
def fonts() -> tuple[Font, ...]:
    """Return the fonts of all pictures, in the order in which they are asked for a sign."""
    from matplotlib import font_manager

    installed = {font.name: font.fname for font in font_manager.fontManager.ttflist}
    own = font_manager.findfont("DejaVu Sans")
    files = {"DejaVu Sans": own, **{n: installed[n] for n in FALLBACKS if n in installed}}
    return tuple(
        Font(name, file, frozenset(font_manager.get_font(file).get_charmap()))
        for name, file in files.items()
    )


def drawable(text: str) -> str:
    r"""Return a text with the codes of those signs that no font has.

    Example:
        >>> drawable("café"), drawable("cat \U000f0000")
        ('café', 'cat \\U000f0000')
    """
    if text.isascii():
        return text
    return "".join(
        sign if sign == "\n" or any(ord(sign) in font.signs for font in fonts())
        else sign.encode("unicode_escape").decode()
        for sign in text
    )  # fmt: skip


def spans_decade(values: NDArray[np.float64]) -> bool:
    """Tell whether values belong on a log axis: all above 0, the largest over 10 times the least.

    Example:
        >>> spans_decade(np.array([1e-4, 1e-2])), spans_decade(np.array([0.0, 1e-2]))
        (True, False)
    """
    values = values[np.isfinite(values)]
    return bool(values.size and values.min() > 0 and values.max() > 10 * values.min())


def starts_at_zero(*series: NDArray[np.float64]) -> bool:
    """Tell whether an axis over these values should start at zero.

    Example:
        >>> starts_at_zero(np.array([0.1, 0.9])), starts_at_zero(np.array([0.5, 0.9]))
        (True, False)
    """
    values = np.concatenate(series)
    values = values[np.isfinite(values)]
    return bool(values.size and 0 <= values.min() < values.max() / 4)


def decade_ticks(low: float, high: float) -> list[float]:
    """Choose the ticks of a log axis: powers of ten, or 1, 2 and 5 times these in a short range.

    Args:
        low: Lower end of the axis, as an exponent of ten.
        high: Upper end, as an exponent of ten.

    Returns:
        Exponents of ten between both ends, rising.

    Example:
        >>> decade_ticks(-6, 0)
        [-6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0]
        >>> [f"{10**tick:.0f}" for tick in decade_ticks(0, 1)]
        ['1', '2', '5', '10']
    """
    steps = (1,) if high - low > 2 else (1, 2, 5)
    every = max(math.ceil((high - low) / 9), 1)
    decades = range(math.floor(low), math.ceil(high) + 1, every)
    ticks = [decade + math.log10(step) for decade in decades for step in steps]
    return [tick for tick in ticks if low - 1e-6 <= tick <= high + 1e-6]


def epoch_ticks(last: int) -> list[int]:
    """Choose at most six round epochs to label among 1 to ``last``.

    Example:
        >>> epoch_ticks(10), epoch_ticks(120)
        ([2, 4, 6, 8, 10], [20, 40, 60, 80, 100, 120])
    """
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, last) if last / step <= 6)
    return list(range(step, last + 1, step))
