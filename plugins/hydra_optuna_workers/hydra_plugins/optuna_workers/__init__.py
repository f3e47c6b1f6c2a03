"""The door that Hydra scans; the code is the package ``optuna_workers``."""

from optuna_workers import StudyInfo, SweepCallback, SweepTrial, TrialInfo, current_trial

__all__ = ["StudyInfo", "SweepCallback", "SweepTrial", "TrialInfo", "current_trial"]
