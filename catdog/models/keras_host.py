"""ImageNet weights as Keras publishes them: names, hashes, download and Keras' own cache."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import urllib.request
from collections.abc import Callable
from multiprocessing.pool import ThreadPool
from pathlib import Path

from catdog.core.files import arriving
from catdog.errors import ConfigError
from catdog.models.weight_sources import Unavailable, Weights

HOST = "https://storage.googleapis.com/tensorflow/keras-applications"

# As in keras.applications, which has further MobileNetV2 files for 96 to 192 px. All image sizes
# use the file for 224 px here, so that they can be compared.
FILES = {
    "mobilenet_v2": (
        "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{}_224_no_top.h5"
    ),
    "mobilenet_v3_small": "mobilenet_v3/weights_mobilenet_v3_small_224_{}_float_no_top_v2.h5",
    "mobilenet_v3_large": "mobilenet_v3/weights_mobilenet_v3_large_224_{}_float_no_top_v2.h5",
    "efficientnet_v2_b0": "efficientnet_v2/efficientnetv2-b0_notop.h5",
    "resnet50_v2": "resnet/resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
}

# By name and alpha; Keras publishes none for MobileNetV2.
MD5 = {
    **{("mobilenet_v2", alpha): "" for alpha in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)},
    ("mobilenet_v3_small", 0.75): "ebdb5cc8e0b497cd13a7c275d475c819",
    ("mobilenet_v3_small", 1.0): "d3e8ec802a04aa4fc771ee12a9a9b836",
    ("mobilenet_v3_large", 0.75): "40af19a13ebea4e2ee0c676887f69a2e",
    ("mobilenet_v3_large", 1.0): "07fb09a5933dd0c8eaafa16978110389",
    ("efficientnet_v2_b0", 1.0): "893217f2bb855e2983157299931e43ff",
    ("resnet50_v2", 1.0): "fac2f116257151a9d068a22e544a4917",
}


def published(name: str, alpha: float) -> tuple[str, Path, str]:
    """Return the URL of a backbone's weights, their path in Keras' cache and their MD5.

    Args:
        name: Backbone, as in ``backbone.name``.
        alpha: MobileNet's width multiplier; 1.0 for other networks.

    Returns:
        URL, path and MD5; the MD5 is empty where Keras publishes none.

    Raises:
        ConfigError: Keras publishes no weights for this backbone or this width.

    >>> url, path, md5 = published("resnet50_v2", 1.0)
    >>> path.name, md5
    ('resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5', 'fac2f116257151a9d068a22e544a4917')
    """
    if name not in FILES:
        raise ConfigError("backbone.name", name, f"expected one of {', '.join(FILES)}")
    if (name, alpha) not in MD5:
        widths = ", ".join(str(width) for known, width in MD5 if known == name)
        expected = f"ImageNet weights of {name} exist for {widths} only"
        raise ConfigError("backbone.alpha", alpha, expected, "backbone.weights=none")
    host = os.environ.get("CATDOG_KERAS_WEIGHTS_URL") or HOST
    file = FILES[name].format(float(alpha))
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    return f"{host.rstrip('/')}/{file}", home / "models" / Path(file).name, MD5[name, alpha]


def cached(path: Path, md5: str) -> Weights:
    """Return the weights in Keras' cache.

    Raises:
        OSError: the file is missing or damaged.
    """
    return Weights("keras-cache", path.name, path, _check_hdf5(path, md5))


def download(
    url: str, path: Path, md5: str, *, timeout: float, notify: Callable[[str], None]
) -> Weights:
    """Download weights into Keras' cache.

    Args:
        url: Address of the file.
        path: Its path in Keras' cache.
        md5: Its MD5; empty skips this check.
        timeout: Seconds without a byte after which the host counts as unreachable.
        notify: Receives a sentence about the download.

    Raises:
        OSError: the host is unreachable, or the file is damaged or another one.
    """
    notify(f"downloading {url}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with arriving(path) as file:
        _fetch(url, file, timeout=timeout)
        return Weights("keras", path.name, path, _check_hdf5(file, md5))


def _fetch(url: str, path: Path, *, timeout: float) -> None:
    # urllib's own timeout covers neither the name look-up nor a host's further addresses.
    pool = ThreadPool(1)
    opening = pool.apply_async(urllib.request.urlopen, (url,), {"timeout": timeout})
    pool.close()
    try:
        response = opening.get(timeout)
    except multiprocessing.TimeoutError:
        raise Unavailable(f"no answer within {timeout:g} s") from None
    with response, path.open("wb") as file:
        shutil.copyfileobj(response, file)


def _check_hdf5(path: Path, md5: str) -> str:
    """Return the file's SHA-256; refuse a login page, a truncated file and another file."""
    import h5py

    content = path.read_bytes()
    if md5 and hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise Unavailable(f"{path.name} does not have the MD5 {md5} that Keras publishes")
    try:
        h5py.File(path, "r").close()
    except OSError as error:
        raise Unavailable(f"{path.name} is not a complete HDF5 file: {error}") from error
    return hashlib.sha256(content).hexdigest()
