"""The frozen part of the network as an extractor: the whole backbone, or cut before a block."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import astuple, dataclass

import keras

from catdog.core.memo import Memo
from catdog.features import batches
from catdog.features.extractor import Extractor
from catdog.models import backbone
from catdog.models.backbone import Backbone
from catdog.models.pretrained import Weights
from catdog.settings import Settings


def extractor(settings: Settings, weights: Weights, memo: Memo) -> Extractor:
    """Build the extractor of the whole backbone, which the trials of one process share.

    Args:
        settings: All settings.
        weights: The backbone's weights, from ``pretrained.resolve``.
        memo: What the trials of one process share.

    Raises:
        ConfigError: the backbone cannot be built, or the weights do not fit.
    """

    def make() -> Extractor:
        built, pooling = _backbone(settings, weights, memo), settings.head.pooling
        frozen = backbone.prefix(built, pooling=pooling)
        return _extractor(settings, built, frozen, {"cut": None, "pooling": pooling})

    return memo.get("extractor", _key(settings, weights), make)


@dataclass(frozen=True)
class Cut:
    """A backbone in two parts.

    Attributes:
        extractor: The frozen part: photos to (h, w, channels) feature maps.
        suffix: The rest: (N, h, w, channels) feature maps to (N, d) features. It shares its
            weights with the backbone.
    """

    extractor: Extractor
    suffix: keras.Model


def cut(settings: Settings, weights: Weights, memo: Memo) -> Cut:
    """Cut the backbone before ``backbone.unfreeze_from``; the trials of one process share it.

    Args:
        settings: All settings, with ``backbone.unfreeze_from``.
        weights: The backbone's weights, from ``pretrained.resolve``.
        memo: What the trials of one process share.

    Raises:
        CatdogError: the installed Keras builds the network differently, and it cannot be cut.
    """
    return memo.get("cut", _key(settings, weights), lambda: _cut(settings, weights, memo))


def _cut(settings: Settings, weights: Weights, memo: Memo) -> Cut:
    built, pooling = _backbone(settings, weights, memo), settings.head.pooling
    block = str(settings.backbone.block)
    before = backbone.layer_before(built, block)
    frozen = backbone.prefix(built, pooling=pooling, cut=before)
    # The store's key has the block and not the layer, since Keras numbers unnamed layers anew in
    # every process. It has no pooling, which comes after what is stored.
    facts = {"cut": block, "pooling": None}
    return Cut(
        _extractor(settings, built, frozen, facts),
        backbone.suffix(built, pooling=pooling, cut=before),
    )


def _key(settings: Settings, weights: Weights) -> Hashable:
    """Return everything that a prefix and its features depend on."""
    store, seed = settings.features, settings.seed if weights.path is None else 0
    return (
        astuple(settings.backbone), settings.head.pooling, store.dtype, store.batch_size, weights,
        seed,
    )  # fmt: skip


def _backbone(settings: Settings, weights: Weights, memo: Memo) -> Backbone:
    """Build the backbone, which the prefixes of both stages share."""
    choice, key = settings.backbone, _key(settings, weights)
    return memo.get(
        "backbone",
        key,
        lambda: backbone.build(
            choice.name,
            image_size=choice.image_size,
            alpha=choice.alpha,
            weights=weights,
            seed=settings.seed,
        ),
    )


def _extractor(
    settings: Settings, built: Backbone, frozen: keras.Model, facts: dict[str, str | None]
) -> Extractor:
    choice = settings.backbone
    known = {
        "backbone": choice.name,
        "weights": built.weights_hash,
        "image_size": choice.image_size,
        "resize": choice.resize,
    }
    return Extractor(
        frozen,
        batches.preprocessing(choice.image_size, choice.resize, built.scaling),
        {**known, **facts},
        settings.features.dtype,
        settings.features.batch_size,
    )
