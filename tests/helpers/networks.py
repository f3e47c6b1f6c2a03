"""Small backbones with random weights."""

import keras
import numpy as np

from catdog.models import backbone
from catdog.models.pretrained import Weights

NONE = Weights("none", "", None, "")


def build(name="mobilenet_v2", *, image_size=64, seed=0):
    alpha = 0.35 if name.startswith("mobilenet") else 1.0
    return backbone.build(name, image_size=image_size, alpha=alpha, weights=NONE, seed=seed)


def enliven(built):
    """Set the statistics of batch norms so that random weights do not make features vanish."""
    norms = [x for x in built.model.layers if isinstance(x, keras.layers.BatchNormalization)]
    size = built.model.input_shape[1]
    noise = np.random.default_rng(0).uniform(-1, 1, (24, size, size, 3)).astype(np.float32)
    if built.scaling == backbone.IDENTITY:
        noise = 127.5 * (noise + 1)
    kept = [(norm.trainable, norm.momentum) for norm in norms]
    for norm in norms:
        norm.trainable, norm.momentum = True, 0.0
    built.model(noise, training=True)
    for norm, (trainable, momentum) in zip(norms, kept, strict=True):
        norm.trainable, norm.momentum = trainable, momentum
    return built
