"""Callbacks of a sweep: the hooks, what they are given, and how that is read from a study.

Importing this package loads neither Optuna nor SQLAlchemy; ``study_info`` does.
"""

from optuna_workers.callbacks.hooks import Callbacks, SweepCallback
from optuna_workers.callbacks.info import StudyInfo, TrialInfo

__all__ = ["Callbacks", "StudyInfo", "SweepCallback", "TrialInfo"]
