"""A Hydra sweeper on Optuna whose workers never wait, and which prunes and resumes.

The README is its manual. What a task or a callback imports stands here; the rest is how it works:

- ``space``: the command line as a search space.
- ``storage``: the database that workers share: slots, leases, retry.
- ``sampling``: Optuna's samplers, pruners and trials.
- ``workers``: loops, child processes, launchers.
- ``display``: the live table.
- ``request`` (what a command asks), ``plan`` (what every worker knows), ``session`` (one command
  from arguments to results), ``search_plan`` (what a sweep would do, without doing it).
"""

from optuna_workers.callbacks import StudyInfo, SweepCallback, TrialInfo
from optuna_workers.workers.current_trial import Postponed, SweepTrial, current_trial

__version__ = "0.1.0"
__all__ = ["Postponed", "StudyInfo", "SweepCallback", "SweepTrial", "TrialInfo", "current_trial"]
