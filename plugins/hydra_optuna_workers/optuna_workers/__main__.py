"""``python -m optuna_workers STORAGE [STUDY]``: what runs where, since when, what is left."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from optuna_workers import status
from optuna_workers.masking import without_password
from optuna_workers.status import NotFound, StudyStatus, report

DESCRIPTION = "Show the studies of a storage, or one study's slots. Nothing is changed."
STORAGE = "a database URL, a study.db, or a folder that holds one"
STUDY = "a study's name, or the beginning of one; needless where there is only one study"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what a person asks for; return the exit status."""
    parser = argparse.ArgumentParser("python -m optuna_workers", description=DESCRIPTION)
    parser.add_argument("storage", metavar="STORAGE", help=STORAGE)
    parser.add_argument("study", metavar="STUDY", nargs="?", help=STUDY)
    asked = parser.parse_args(arguments)
    try:
        found = status.read(asked.storage)
        if asked.study is not None:
            shown = report.study(_named(asked.study, found, asked.storage))
        else:
            shown = report.study(found[0]) if len(found) == 1 else report.studies(found)
    except NotFound as error:
        print(f"optuna_workers: {error}", file=sys.stderr)
        return 1
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        place = without_password(asked.storage)
        print(f"optuna_workers: {place}: cannot be read: {reason}", file=sys.stderr)
        return 1
    Console(highlight=False).print(shown)
    return 0


def _named(name: str, found: Sequence[StudyStatus], storage: str) -> StudyStatus:
    exact = [study for study in found if study.name == name]
    alike = exact or [study for study in found if study.name.startswith(name)]
    if len(alike) == 1:
        return alike[0]
    place, names = without_password(storage), ", ".join(study.name for study in alike or found)
    if alike:
        raise NotFound(f"{place}: {name} is the beginning of several studies: {names}")
    raise NotFound(f"{place}: there is no study {name}; there are: {names or 'none'}")


if __name__ == "__main__":
    raise SystemExit(main())
