"""The door that Hydra scans; the code is the package ``optuna_workers``."""

from optuna_workers import (
    Postponed,
    StudyInfo,
    SweepCallback,
    SweepTrial,
    TrialInfo,
    current_trial,
)

__all__ = ["Postponed", "StudyInfo", "SweepCallback", "SweepTrial", "TrialInfo", "current_trial"]
