"""What can be chosen; loads nothing heavy, so a bad value is refused at once.

``groups`` has one frozen dataclass per config group, ``validation`` checks type, range and options
when one is built, ``parse`` makes ``Settings`` of Hydra's dictionaries and answers a typo with the
nearest key, ``blocks`` lists where networks may be cut.
"""

from catdog.settings.groups import (
    OPTIMIZER_KEYS,
    Augment,
    Backbone,
    Data,
    Evaluation,
    Features,
    Finetune,
    Head,
    LrRange,
    Objective,
    Optimizer,
    Schedule,
    Settings,
    Tracking,
    Trainer,
)

__all__ = [
    "Augment",
    "Backbone",
    "Data",
    "Evaluation",
    "Features",
    "Finetune",
    "Head",
    "LrRange",
    "OPTIMIZER_KEYS",
    "Objective",
    "Optimizer",
    "Schedule",
    "Settings",
    "Tracking",
    "Trainer",
]
