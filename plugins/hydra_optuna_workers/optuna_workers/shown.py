"""Text from outside as it may be shown: nothing in it moves a cursor, a line or a direction."""

from __future__ import annotations

import unicodedata

_ODD = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Control characters, invisible ones (directions among them), half pairs, line separators."""

_JOINERS = "\u200c\u200d"
"""Emoji and some scripts are written with them; they change neither line nor direction."""


def shown(text: object, most: int = 0) -> str:
    r"""Return a text in one line, with a visible stand-in for each character that is no sign.

    Names of classes, files, runs and studies come from strangers: an escape code in one would
    recolour a terminal or clear it, a line break would forge a line of a log.

    Args:
        text: Any text; other values are shown as ``str`` does.
        most: Most characters; of a longer text the start is shown. 0 shows all.

    Returns:
        The text; ``\x1b``, ``\n`` or ``\u202e`` in place of such characters.

    Example:
        >>> print(shown("cat\x1b[31m\nfound 0 errors"))
        cat\x1b[31m\nfound 0 errors
        >>> print(shown("photo\u202egpj.exe"), shown("Katze 🐈, кошка"))
        photo\u202egpj.exe Katze 🐈, кошка
        >>> shown("a" * 100, most=5)
        'aaaa…'
    """
    plain = "".join(map(_stand_in, str(text)))
    return plain if not most or len(plain) <= most else plain[: most - 1] + "…"


def shown_lines(text: object) -> str:
    r"""Return a text as ``shown`` does, but with its own line breaks.

    Example:
        >>> print(shown_lines("one\x1b[2J\ntwo"))
        one\x1b[2J
        two
    """
    return "\n".join(map(shown, str(text).split("\n")))


def _stand_in(sign: str) -> str:
    if sign.isprintable() or sign in _JOINERS or unicodedata.category(sign) not in _ODD:
        return sign
    return sign.encode("unicode_escape", "surrogatepass").decode("ascii")
