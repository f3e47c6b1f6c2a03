"""Shows numbers of bytes, as messages need them."""

from __future__ import annotations

UNITS = ("bytes", "kB", "MB", "GB", "TB")


def size_text(size: int) -> str:
    """Return a number of bytes in a unit that fits it.

    Args:
        size: Bytes, at least 0.

    Example:
        >>> [size_text(n) for n in (0, 999, 1000, 12_345_678, 999_999, 3 * 10**9, 4 * 10**15)]
        ['0 bytes', '999 bytes', '1 kB', '12.3 MB', '1 MB', '3 GB', '4000 TB']
    """
    if size < 1000:
        return f"{size} bytes"
    power = min((len(str(round(size, 2 - len(str(size))))) - 1) // 3, len(UNITS) - 1)
    shown = f"{size / 1000**power:.1f}"
    return f"{shown.removesuffix('.0')} {UNITS[power]}"
