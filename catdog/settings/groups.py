"""All settings of a run: one dataclass per config group, and the rules between groups."""

from __future__ import annotations

import typing
from dataclasses import asdict, dataclass, field, fields

from catdog.settings import uses
from catdog.settings.data import Augment, Data
from catdog.settings.model import Backbone, Head
from catdog.settings.run import Evaluation, Features, Objective, Tracking
from catdog.settings.training import Finetune, LrRange, Optimizer, Schedule, Trainer
from catdog.settings.validation import Group, number, set_checked


@dataclass(frozen=True)
class Settings:
    """All settings of a run, by group.

    Raises:
        ConfigError: a value has the wrong type, lies outside its range or contradicts another.

    Example:
        >>> settings = Settings(optimizer=Optimizer(lr=3e-4), trainer=Trainer(epochs=5))
        >>> settings.optimizer.lr, settings.trainer.epochs, settings.seed
        (0.0003, 5, 0)
    """

    data: Data = field(default_factory=Data)
    backbone: Backbone = field(default_factory=Backbone)
    head: Head = field(default_factory=Head)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    augment: Augment = field(default_factory=Augment)
    features: Features = field(default_factory=Features)
    lr_range: LrRange = field(default_factory=LrRange)
    trainer: Trainer = field(default_factory=Trainer)
    finetune: Finetune = field(default_factory=Finetune)
    evaluation: Evaluation = field(default_factory=Evaluation)
    objective: Objective = field(default_factory=Objective)
    tracking: Tracking = field(default_factory=Tracking)

    threads: int | None = number(None, minimum=1)
    """CPU threads that TensorFlow uses; if unset all cores, in a search the cores divided by
    hydra.sweeper.n_jobs."""

    seed: int = number(0, minimum=0, maximum=2**32 - 1)
    """Seed of initial weights, dropout, shuffling and augmentation: the same seed gives the same
    metrics on the same machine, to the last bit."""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(Settings)
        for item in fields(self):
            if item.name not in group_types():
                set_checked(self, item.name, item, hints[item.name])
        self._check_finetune()
        self._check_schedule("trainer.epochs", self.trainer.epochs, "optimizer", self.optimizer.lr)
        if self.finetune.epochs:  # the schedule starts again with each stage
            own = self.finetune
            self._check_schedule("finetune.epochs", own.epochs, "finetune", own.lr)
        self._check_uses()

    def _check_uses(self) -> None:
        """Reject what was changed and has no effect beside what is chosen."""
        values, defaults = asdict(self), group_types()
        for key, found in uses.ignored(values).items():
            group, leaf = key.split(".")
            if not uses.is_off(found) and found != getattr(defaults[group](), leaf):
                raise uses.refusal(key, found, uses.USES[key].chosen(values))

    def _check_finetune(self) -> None:
        """Reject a second stage with nothing to train, and a cut that no stage uses."""
        if self.finetune.epochs and self.backbone.unfreeze_from is None:
            raise self.finetune.error(
                "epochs", "fine-tuning needs backbone.unfreeze_from", "finetune.epochs=0"
            )
        if self.backbone.unfreeze_from is not None and not self.finetune.epochs:
            raise self.backbone.error(
                "unfreeze_from",
                "with finetune.epochs=0 nothing would train it",
                "finetune.epochs=3",
            )

    def _check_schedule(self, length: str, epochs: int, group: str, lr: float) -> None:
        """Reject a schedule that does not fit a stage's epochs and learning rate."""
        if self.schedule.warmup_epochs >= epochs:
            raise self.schedule.error(
                "warmup_epochs",
                f"expected less than {length}={epochs}",
                "schedule.warmup_epochs=0",
            )
        if self.schedule.final_lr > lr:
            raise self.schedule.error("final_lr", f"expected at most {group}.lr={lr}")


def group_types() -> dict[str, type[Group]]:
    """Return the class of each config group by its name; ``threads`` and ``seed`` are no groups.

    Example:
        >>> list(group_types())[:3]
        ['data', 'backbone', 'head']
    """
    hints = typing.get_type_hints(Settings)
    return {name: hint for name, hint in hints.items() if hasattr(hint, "key")}
