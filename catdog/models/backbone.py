"""Build a pretrained backbone and cut it into a frozen prefix and a trainable suffix."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import keras

from catdog.errors import CatdogError, ConfigError
from catdog.models.pretrained import Weights, load

SYMMETRIC = (1 / 127.5, -1.0)
IDENTITY = (1.0, 0.0)  # these networks scale inside


@dataclass(frozen=True)
class Backbone:
    """A built network without its top.

    Attributes:
        name: Its config name.
        model: (N, S, S, 3) float32 scaled photos to (N, h, w, channels) features; frozen.
        scaling: (scale, offset) from 0..255 to what ``model`` expects.
    """

    name: str
    model: keras.Model
    scaling: tuple[float, float]

    @property
    def weights_hash(self) -> str:
        """SHA-256 over names, shapes and values of all weights, whatever file they came from."""
        digest = hashlib.sha256()
        for variable in self.model.weights:
            value = variable.numpy()
            digest.update(f"{variable.path} {value.shape} {value.dtype}\n".encode())
            digest.update(value.tobytes())
        return digest.hexdigest()


def build(name: str, *, image_size: int, alpha: float, weights: Weights, seed: int) -> Backbone:
    """Build a keras.applications network and put its weights in.

    Args:
        name: ``mobilenet_v2``, ``mobilenet_v3_small``, ``mobilenet_v3_large``,
            ``efficientnet_v2_b0`` or ``resnet50_v2``.
        image_size: Side of the square input, in pixels.
        alpha: Width multiplier of the MobileNets.
        weights: From ``weights.resolve``.
        seed: Seed of random weights; only matters with ``backbone.weights=none``.

    Raises:
        ConfigError: the network cannot be built at this width or size, or the weights do not fit.
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
    """Return the frozen part: photos to what the store keeps.

    Args:
        backbone: The built network.
        pooling: What the head wants of the last feature map: ``avg`` or ``flatten``. A cut
            prefix keeps the map of the cut, and the suffix pools.
        cut: Name of the last frozen layer; null freezes the whole network.
    """
    model = backbone.model
    if cut is not None:
        return keras.Model(model.input, model.get_layer(cut).output, name="prefix")
    return keras.Model(model.input, pool(model.output, pooling), name="prefix")


def boundary(backbone: Backbone, block: str) -> str:
    """Return the layer before a block: all that comes later sees nothing but its output.

    Args:
        backbone: The built network.
        block: One of ``blocks.BLOCKS``.

    Raises:
        CatdogError: this Keras builds the network otherwise.
    """
    steps = backbone.model.operations
    makers = {id(step.output): place for place, step in enumerate(steps)}
    edges = [
        (makers[id(tensor)], place)
        for place, step in enumerate(steps)
        for tensor in (step.input if isinstance(step.input, list) else [step.input])
    ]
    names = [step.name for step in steps]
    first = next((i for i, name in enumerate(names) if f"{name}_".startswith(f"{block}_")), 0)
    before = max((source for source, place in edges if place == first), default=0)
    if not first or any(source < before < place for source, place in edges):
        raise CatdogError(f"keras {keras.__version__} cannot cut {backbone.name} before {block}")
    return names[before]


def suffix(backbone: Backbone, *, pooling: str, cut: str) -> keras.Model:
    """Return the rest of a cut network: the map of layer ``cut`` to pooled features."""
    model = backbone.model
    start = model.get_layer(cut).output
    return keras.Model(start, pool(model.output, pooling), name="suffix")


def unfrozen(suffix: keras.Model) -> keras.Model:
    """Return a copy of a suffix that can be trained, while the network it is cut from stays.

    Batch norms stay frozen, layer by layer: in Keras only that keeps them in inference mode.
    ``training=False`` given while a graph is built is overridden where the model is called with
    ``training=True``, and their statistics would be those of small batches.
    """
    copy = keras.models.clone_model(suffix)
    copy.set_weights(suffix.get_weights())
    for layer in copy.layers:  # the model itself calls itself trainable: setting that is in vain
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    return copy


def pool(features: keras.KerasTensor, pooling: str) -> keras.KerasTensor:
    """Pool a feature map over its positions (``avg``), or lay it flat (``flatten``)."""
    if pooling == "avg":
        return keras.layers.GlobalAveragePooling2D(name="pool")(features)
    return keras.layers.Flatten(name="flat")(features)
