"""python -m catdog.sweep: the searches in sweeps/; with a name, run one.

``python -m catdog.sweep NAME key=value ...`` is ``python -m catdog.train --config-dir sweeps
--config-name NAME key=value ...``.
"""

from __future__ import annotations

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
        command.leave(searches.unknown(name, names), 1)
    sys.argv = [sys.argv[0], "--config-dir", str(folder), "--config-name", name, *rest]
    from catdog import train

    train.main()


if __name__ == "__main__":
    main()
