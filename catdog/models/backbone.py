"""Build a pretrained backbone and cut it into a frozen prefix and a trainable suffix."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import keras

from catdog.errors import CatdogError, ConfigError
from catdog.models.pretrained import Weights, load

SYMMETRIC = (1 / 127.5, -1.0)
"""(scale, offset) of networks whose input is -1..1."""

IDENTITY = (1.0, 0.0)
"""(scale, offset) of networks that scale pixel values 0..255 themselves."""


@dataclass(frozen=True)
class Backbone:
    """A network without its top, with weights.

    Attributes:
        name: Its name in the configuration.
        model: Frozen model from (N, S, S, 3) float32 scaled photos to (N, h, w, channels) feature
            maps.
        scaling: (scale, offset) that map pixel values 0..255 to the model's input.
    """

    name: str
    model: keras.Model
    scaling: tuple[float, float]

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the names, shapes and values of all weights, as hexadecimal digits."""
        digest = hashlib.sha256()
        for variable in self.model.weights:
            value = variable.numpy()
            digest.update(f"{variable.path} {value.shape} {value.dtype}\n".encode())
            digest.update(value.tobytes())
        return digest.hexdigest()


def build(name: str, *, image_size: int, alpha: float, weights: Weights, seed: int) -> Backbone:
    """Build a network of keras.applications and load its weights.

    Args:
        name: ``mobilenet_v2``, ``mobilenet_v3_small``, ``mobilenet_v3_large``,
            ``efficientnet_v2_b0`` or ``resnet50_v2``.
        image_size: Side of the square input, in pixels.
        alpha: Width multiplier of the MobileNets; other networks ignore it.
        weights: The result of ``pretrained.resolve``.
        seed: Seed of random weights, for ``backbone.weights=none``.

    Returns:
        The network without its top, frozen.

    Raises:
        ConfigError: the network cannot be built with this width or size, or the weights do not
            fit.

    >>> none = Weights("none", "", None, "")
    >>> built = build("mobilenet_v2", image_size=32, alpha=0.35, weights=none, seed=0)
    >>> built.model.output_shape
    (None, 1, 1, 1280)
    """
    applications = keras.applications
    maker, scaling, options = {
        "mobilenet_v2": (applications.MobileNetV2, SYMMETRIC, {"alpha": alpha}),
        "mobilenet_v3_small": (applications.MobileNetV3Small, IDENTITY, {"alpha": alpha}),
        "mobilenet_v3_large": (applications.MobileNetV3Large, IDENTITY, {"alpha": alpha}),
        "efficientnet_v2_b0": (applications.EfficientNetV2B0, IDENTITY, {}),
        "resnet50_v2": (applications.ResNet50V2, SYMMETRIC, {}),
    }[name]
    keras.utils.set_random_seed(seed)
    shape = (image_size, image_size, 3)
    try:
        model = maker(input_shape=shape, include_top=False, weights=None, **options)
    except ValueError as error:
        raise ConfigError("backbone.image_size", image_size, str(error)) from None
    load(model, weights)
    model.trainable = False  # in Keras this also keeps batch norms in inference mode
    return Backbone(name, model, scaling)


def prefix(backbone: Backbone, *, pooling: str, cut: str | None = None) -> keras.Model:
    """Return the frozen part of a backbone, whose output the feature store keeps.

    Args:
        backbone: The built network.
        pooling: ``avg`` or ``flatten``, applied to the last feature map. The prefix of a cut
            network is not pooled; its suffix is.
        cut: Name of the last frozen layer; None freezes the whole network.

    Returns:
        A model from (N, S, S, 3) float32 to (N, d) features, or to (N, h, w, channels) feature
        maps if there is a cut. It shares its layers with the backbone.
    """
    model = backbone.model
    if cut is not None:
        return keras.Model(model.input, model.get_layer(cut).output, name="prefix")
    return keras.Model(model.input, pool(model.output, pooling), name="prefix")


def layer_before(backbone: Backbone, block: str) -> str:
    """Find the layer where a network can be cut so that the suffix starts with a block.

    All later layers depend on earlier ones only through this layer's output.

    Args:
        backbone: The built network.
        block: Name of the first unfrozen block, one of ``settings.blocks.BLOCKS``.

    Returns:
        The layer's name.

    Raises:
        CatdogError: the installed Keras builds the network differently, and it has no such layer.
    """
    layers = backbone.model.operations
    makers = {id(layer.output): place for place, layer in enumerate(layers)}
    edges = [
        (makers[id(tensor)], place)
        for place, layer in enumerate(layers)
        for tensor in (layer.input if isinstance(layer.input, list) else [layer.input])
    ]
    names = [layer.name for layer in layers]
    first = next((i for i, name in enumerate(names) if f"{name}_".startswith(f"{block}_")), 0)
    before = max((source for source, place in edges if place == first), default=0)
    if not first or any(source < before < place for source, place in edges):
        raise CatdogError(f"keras {keras.__version__} cannot cut {backbone.name} before {block}")
    return names[before]


def suffix(backbone: Backbone, *, pooling: str, cut: str) -> keras.Model:
    """Return the part of a backbone behind a cut.

    Args:
        backbone: The built network.
        pooling: ``avg`` or ``flatten``, applied to the last feature map.
        cut: Name of the prefix's last layer, from ``layer_before``.

    Returns:
        A model from (N, h, w, channels) feature maps to (N, d) features. It shares its layers with
        the backbone.
    """
    model = backbone.model
    start = model.get_layer(cut).output
    return keras.Model(start, pool(model.output, pooling), name="suffix")


def unfrozen(suffix: keras.Model) -> keras.Model:
    """Return a trainable copy of a suffix; the backbone's own weights stay as they are.

    Each batch norm stays frozen, because only that keeps it in inference mode in Keras: an
    argument ``training=False`` while the graph is built is overridden when the model is called
    with ``training=True``. In training mode it would use the statistics of small batches.

    Args:
        suffix: From ``suffix``.

    Returns:
        A model of the same inputs and outputs with weights of its own.
    """
    copy = keras.models.clone_model(suffix)
    copy.set_weights(suffix.get_weights())
    for layer in copy.layers:  # copy.trainable = True would unfreeze the batch norms too
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    return copy


def pool(features: keras.KerasTensor, pooling: str) -> keras.KerasTensor:
    """Average a (N, h, w, channels) feature map over its positions, or flatten it, to (N, d)."""
    if pooling == "avg":
        return keras.layers.GlobalAveragePooling2D(name="pool")(features)
    return keras.layers.Flatten(name="flat")(features)
