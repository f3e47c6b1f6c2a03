"""Read torch's old file format without torch, and convert its weights to Keras' conventions."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_TORCH_EPSILON, _KERAS_EPSILON = 1e-5, 1e-3
_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
_IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
_IMAGENET_STD = np.array([0.229, 0.224, 0.225])


def read_state_dict(file: BinaryIO) -> Mapping[str, np.ndarray]:
    """Read a state dict in the format that torch wrote before version 1.6.

    The caller has checked the file's hash. The format is that of ``_legacy_load`` in torch's
    ``serialization.py``: pickles of a magic number, a protocol number, the writer's type sizes,
    the state dict and the keys of the storages; then each storage as an int64 count and raw
    numbers.

    Args:
        file: Opened for reading bytes, at its start.

    Returns:
        Arrays by name, in the file's order.

    Raises:
        pickle.UnpicklingError: the file has another format or contains anything but tensors.
    """
    header = _StateDictUnpickler(file).load(), _StateDictUnpickler(file).load()
    if header != (_MAGIC, _PROTOCOL):
        raise pickle.UnpicklingError(f"not a file of torch's old format: it starts with {header}")
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
    """Convert a torch sequence of convolutions, each with a batch norm, to Keras' conventions.

    Kernels are transposed from OIHW to HWIO, depthwise ones to HWC1. Torch's batch norm has
    another epsilon (1e-5 instead of 1e-3), so gamma is multiplied by
    ``sqrt((variance + 1e-3) / (variance + 1e-5))``. Torch's input is ``(x - mean) / std`` for x in
    0..1 and Keras' is ``2 x - 1``, so the first kernel becomes ``kernel * 0.5 / std``, and the
    mean of the first batch norm is reduced by ``sum(kernel * (0.5 - mean) / std)``.

    Args:
        state: Kernels (4-D) and batch norms (``weight``, ``bias``, ``running_mean``,
            ``running_var``) in the network's order.

    Returns:
        Float32 arrays in the order of ``keras.Model.get_weights``: for each convolution its
        kernel, gamma, beta, mean and variance.

    >>> norm = dict.fromkeys(_NORM_PARTS, np.ones(4))
    >>> state = {"a.weight": np.ones((4, 3, 5, 5)), **{f"b.{k}": v for k, v in norm.items()}}
    >>> [array.shape for array in to_keras(state)]
    [(5, 5, 3, 4), (4,), (4,), (4,), (4,)]
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


def _rebuild_tensor(
    storage: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> np.ndarray:
    row_major = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    if strides != row_major:
        raise pickle.UnpicklingError(f"expected a row-major tensor, found strides {strides}")
    return storage[offset : offset + int(np.prod(shape))].reshape(shape)


class _StateDictUnpickler(pickle.Unpickler):
    """Unpickles tensors only, as views of storages whose numbers are read afterwards."""

    ALLOWED = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch", "FloatStorage"): "<f4",
        ("torch", "LongStorage"): "<i8",
    }

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, np.ndarray] = {}

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is not allowed in weights")
        return self.ALLOWED[module_name, global_name]

    def persistent_load(self, pid: Any) -> np.ndarray:
        _, dtype, key, _, count, _ = pid
        return self.storages.setdefault(key, np.empty(count, dtype))
