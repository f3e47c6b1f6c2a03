"""An Optuna sweeper for Hydra whose workers never wait, which prunes and resumes."""

from hydra_plugins.optuna_workers._callbacks import StudyInfo, SweepCallback, TrialInfo
from hydra_plugins.optuna_workers._trial import SweepTrial, current_trial

__all__ = ["StudyInfo", "SweepCallback", "SweepTrial", "TrialInfo", "current_trial"]
