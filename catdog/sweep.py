"""python -m catdog.sweep: the searches in sweeps/; with a name, run one.

``python -m catdog.sweep NAME key=value ...`` is ``python -m catdog.train --config-dir sweeps
--config-name NAME key=value ...``.
"""

from __future__ import annotations

import difflib
import sys

from catdog import command, paths, searches


def main() -> None:
    """Print the searches, or run one."""
    words, folder = sys.argv[1:], paths.sweeps()
    known = searches.known(folder)
    if not words or words[0] in ("-h", "--help"):
        from catdog import console

        console.list_searches(known)
        return
    name, *rest = words
    names = [search.name for search in known]
    if name not in names:
        command.leave(_unknown(name, names), 1)
    sys.argv = [sys.argv[0], "--config-dir", str(folder), "--config-name", name, *rest]
    from catdog import train

    train.main()


def _unknown(name: str, names: list[str]) -> str:
    if "=" in name or name.startswith("-"):
        return f"the name of a search comes first, before {name}: one of {', '.join(names)}"
    near = difflib.get_close_matches(name, names, 1)
    hint = f"; did you mean {near[0]}?" if near else "."
    return f"there is no search {name!r}{hint} There are: {', '.join(names)}"


if __name__ == "__main__":
    main()
