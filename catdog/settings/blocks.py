"""Where each network may be cut for fine-tuning: the names of its blocks, in order.

A network can only be cut between blocks, where everything that follows depends on a single layer.
The names are listed here so that a wrong one is rejected before TensorFlow loads;
``catdog.models.backbone`` finds the layer, and a test compares the list with the real networks.
"""

from __future__ import annotations

BLOCKS = {
    "mobilenet_v2": ("expanded_conv", *(f"block_{i}" for i in range(1, 17)), "Conv_1"),
    "mobilenet_v3_small": (
        "expanded_conv", *(f"expanded_conv_{i}" for i in range(1, 11)), "conv_1",
    ),
    "mobilenet_v3_large": (
        "expanded_conv", *(f"expanded_conv_{i}" for i in range(1, 15)), "conv_1",
    ),
    "efficientnet_v2_b0": (
        *(
            f"block{stage}{letter}"
            for stage, letters in enumerate(("a", "ab", "ab", "abc", "abcde", "abcdefgh"), 1)
            for letter in letters
        ),
        "top",
    ),
    "resnet50_v2": tuple(
        f"conv{stage}_block{i}"
        for stage, count in ((2, 3), (3, 4), (4, 6), (5, 3))
        for i in range(1, count + 1)
    ),
}  # fmt: skip
"""Block names by network, from the input to the output."""

SINGLE = ("expanded_conv", "Conv_1", "conv_1")
"""Blocks of MobileNets whose first layer is not called ``<block>_expand``."""


def named(network: str, name: str) -> str | None:
    """Return the block that a name stands for, or None if there is no such block.

    Args:
        network: A backbone's config name.
        name: A block, or the first layer of a MobileNet block, such as ``block_13_expand``.

    Example:
        >>> named("mobilenet_v2", "block_13_expand")
        'block_13'
        >>> named("resnet50_v2", "block_13") is None
        True
    """
    first = name.removesuffix("_expand")
    if network.startswith("mobilenet") and first != name and first not in SINGLE:
        name = first
    return name if name in BLOCKS[network] else None
