"""Where each network may be cut: the names of its blocks, in order.

Only between blocks does all that comes later pass through one layer. Light, so that a wrong name
is refused before TensorFlow loads; backbone.py finds the layer, and a test holds both together.
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

SINGLE = ("expanded_conv", "Conv_1", "conv_1")
"""Blocks of MobileNets that do not begin with a layer called ``<block>_expand``."""


def named(network: str, name: str) -> str | None:
    """Return the block that a name means, or None if it means none.

    Args:
        network: A backbone's config name.
        name: A block, or a MobileNet block's first layer, such as ``block_13_expand``.
    """
    first = name.removesuffix("_expand")
    if network.startswith("mobilenet") and first != name and first not in SINGLE:
        name = first
    return name if name in BLOCKS[network] else None
