"""Studies read from outside, without changing them: what runs where, since when, what is left.

source opens the database that a person names, reading makes plain data of it (study), report
prints that for ``python -m optuna_workers``.
"""

from optuna_workers.status.reading import read, times
from optuna_workers.status.source import NotFound
from optuna_workers.status.study import SlotStatus, SlotTime, StudyStatus

__all__ = ["NotFound", "SlotStatus", "SlotTime", "StudyStatus", "read", "times"]
