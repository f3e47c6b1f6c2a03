"""Overrides and commands as text that can be pasted: the one place that quotes.

An override passes two readers, the shell and Hydra's grammar, and its value a third, OmegaConf,
which takes ``${`` for an interpolation. ``override`` quotes for the last two, ``command`` for the
shell.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from catdog.core.paths import without_password

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

_PLAIN = re.compile(
    r"(?!(?:null|true|false|nan|inf)$)[A-Za-z_/][\w./-]*", re.ASCII | re.IGNORECASE
)
"""Texts that Hydra can only read as themselves."""

_INTERPOLATION, _ESCAPED = re.compile(r"(\\*)\$\{"), re.compile(r"((?:\\\\)*)\\\$\{")


def command(*words: str) -> str:
    r"""Return a command for a shell, without passwords.

    Args:
        words: Program, options and overrides, each as the program is to receive it.

    Example:
        >>> command("python", "-m", "catdog.train", override("data.path", "/my photos"), "-m")
        'python -m catdog.train \'data.path="/my photos"\' -m'
    """
    return without_password(shlex.join(words))


def override(key: str, value: object) -> str:
    r"""Return the override that gives a key a value, in quotes where Hydra needs them.

    Args:
        key: The key, with ``+`` where it has one.
        value: Text, number, truth value, None, or a list of these.

    Example:
        >>> override("data.path", "/photos"), override("data.path", "a=(ü)")
        ('data.path=/photos', 'data.path="a=(ü)"')
        >>> override("tracking.run_name", "2024"), override("seed", 2024)
        ('tracking.run_name="2024"', 'seed=2024')
        >>> override("data.classes", ["cat", "Hündin", None])
        'data.classes=[cat,"Hündin",null]'
        >>> print(override("data.path", "${HOME}"))
        data.path="\${HOME}"
    """
    return f"{key}={_text_of(value)}"


def text(word: str) -> str:
    r"""Return the text that an override gives its key; what Hydra cannot read is as it stands.

    Example:
        >>> text("data.path='my photos'"), text("data.path=ü"), text("seed=1")
        ('my photos', 'ü', '1')
        >>> text(override("data.path", r"C:\${x}"))
        'C:\\${x}'
    """
    read = parsed(word)
    value = None if read is None or read.is_sweep_override() else read.value()
    if not isinstance(value, str):
        return word.partition("=")[2]
    return unescaped(value)


def unescaped(value: str) -> str:
    r"""Return what OmegaConf makes of a value without interpolations.

    Example:
        >>> print(unescaped(r"a \${b}"))
        a ${b}
    """
    return _ESCAPED.sub(lambda found: found[1][len(found[1]) // 2 :] + "${", value)


def parsed(word: str) -> Override | None:
    """Return an override as Hydra reads it; None if it is not in Hydra's grammar.

    Example:
        >>> parsed("data.path='my photos'").value(), parsed("data.path=ü")
        ('my photos', None)
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(word)
    except (HydraException, RecursionError):
        return None


def _text_of(value: object) -> str:
    if isinstance(value, str):
        escaped = _INTERPOLATION.sub(r"\1\1\\${", value)
        return value if _PLAIN.fullmatch(value) else quoted(escaped)
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_text_of, value))}]"
    return "null" if value is None else str(value).lower()


def quoted(text: str) -> str:
    r"""Return a text in quotes, so that Hydra reads nothing into it; ``${`` keeps its meaning.

    Example:
        >>> print(quoted('a "b" ü'))
        "a \"b\" ü"
    """
    from hydra.core.override_parser.types import Quote, QuotedString  # doctor may find it missing

    return QuotedString(text, Quote.double).with_quotes()  # the shell's own are single ones
