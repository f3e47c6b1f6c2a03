"""Settings of a run: typed, checked when they are built, and quick to import.

``data``, ``model``, ``training`` and ``run`` have one frozen dataclass per config group, and
``groups`` joins them in ``Settings``. ``validation`` and ``conversion`` check type, range and
options; ``parse`` builds settings from Hydra's dictionaries and finds the key that a typo was
meant to be; ``reference`` describes every key; ``blocks`` lists where networks may be cut for
fine-tuning.
Nothing here imports TensorFlow, so that a bad value is rejected at once.
"""

from catdog.settings.data import Augment, Data
from catdog.settings.groups import Settings
from catdog.settings.model import Backbone, Head
from catdog.settings.reference import KeyInfo, describe
from catdog.settings.run import Evaluation, Features, Objective, Tracking
from catdog.settings.training import (
    OPTIMIZER_KEYS,
    Finetune,
    LrRange,
    Optimizer,
    Schedule,
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
    "KeyInfo",
    "LrRange",
    "OPTIMIZER_KEYS",
    "Objective",
    "Optimizer",
    "Schedule",
    "Settings",
    "Tracking",
    "Trainer",
    "describe",
]
