"""Extraction: each row of the feature store is computed once, whatever interrupts it."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.features import COUNT, ensure, many, slow, tiny, values
from helpers.networks import NONE, enliven

from catdog.core import use_locks
from catdog.errors import ConfigError, DataError
from catdog.features import batches, decode, extraction, extractor
from catdog.features.extractor import Extractor
from catdog.models import backbone
from catdog.progress import Progress
from catdog.system import cache_contents, cache_removal

pytestmark = pytest.mark.tensorflow


def direct(extractor, photos):
    """Compute features photo by photo, by hand."""
    rows = [extractor.prefix(layered(extractor, photo)[None])[0] for photo in photos]
    return np.array(rows).astype(extractor.dtype)


def layered(extractor, photo):
    x = decode.decode(tf.io.read_file(photo.source))
    for layer in extractor.layers:
        x = layer(x)
    return x


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_computed_once(tmp_path, photos, dtype):
    extractor = tiny(dtype=dtype)
    first = ensure(tmp_path, extractor, photos)
    assert extractor.computed == 12
    assert (values(first).dtype, first.shape, first.nbytes) == (
        dtype, (5,), 12 * 5 * np.dtype(dtype).itemsize
    )  # fmt: skip
    assert values(first).std() > 0.01
    np.testing.assert_allclose(values(first), direct(extractor, photos), rtol=2e-3, atol=1e-5)
    np.testing.assert_array_equal(first.labels, [photo.label for photo in photos])
    second = ensure(tmp_path, extractor, photos)
    assert extractor.computed == 12
    np.testing.assert_array_equal(values(second), values(first))


def test_more_photos_cost_only_themselves(tmp_path, photos):
    extractor = tiny()
    ensure(tmp_path, extractor, photos[3:8])
    whole = ensure(tmp_path, extractor, photos[::-1])
    assert extractor.computed == 12
    alone = tiny()
    np.testing.assert_array_equal(
        values(whole), values(ensure(tmp_path / "elsewhere", alone, photos[::-1]))
    )


def test_copies_are_computed_once(tmp_path, photos):
    extractor = tiny()
    held = ensure(tmp_path, extractor, [photos[0], photos[1], photos[0], photos[0]])
    assert extractor.computed == 2
    np.testing.assert_array_equal(values(held)[[2, 3]], values(held)[[0, 0]])


def test_neither_names_nor_splits_matter(tmp_path, photos):
    extractor = tiny()
    first = ensure(tmp_path, extractor, photos)
    moved = []
    for i, photo in enumerate(photos):
        source = tmp_path / f"renamed {i}.png"
        Path(photo.source).rename(source)
        split = ("train", "val", "test")[i % 3]
        moved.append(replace(photo, path=source.name, source=str(source), split=split, label=i))
    again = ensure(tmp_path, extractor, moved, split="other")
    assert extractor.computed == 12
    np.testing.assert_array_equal(values(again), values(first))
    np.testing.assert_array_equal(again.labels, range(12))


def test_a_row_does_not_depend_on_its_neighbours(tmp_path, photos):
    """OneDNN's last bits depend on the batch; a store filled by several runs must not."""
    wide = backbone.build("mobilenet_v2", image_size=64, alpha=1.0, weights=NONE, seed=0)
    prefix = backbone.prefix(enliven(wide), pooling="avg")
    layers = batches.preprocessing(64, "squash", wide.scaling)
    found = []
    for size, some in ((1, photos), (5, photos), (64, photos[::-1])):
        extractor = Extractor(prefix, layers, {}, "float32", size)
        rows = values(ensure(tmp_path / str(size), extractor, some))
        found.append(rows if some is photos else rows[::-1])
    assert found[0].std() > 0.1
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


# === The key ===


@pytest.mark.parametrize(
    "facts",
    [{"image_size": 17}, {"resize": "crop"}, {"weights": "0124"}, {"pooling": "flatten"},
     {"backbone": "other"}, {"cut": "block_3"}, {"dtype": "float32"}],
    ids=str,
)  # fmt: skip
def test_key_covers_the_extractor(facts):
    keys = {extraction.key(x.recipe("none", 0, 0)) for x in (tiny(), tiny(), tiny(**facts))}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [(tf, "__version__", "9.9"), (keras, "__version__", "9.9"), (decode, "RULE", "other"),
     (extractor, "RESIZE_RULE", "other"), (extractor, "FORMAT", 99)],
)  # fmt: skip
def test_key_covers_the_software(monkeypatch, module, name, value):
    before = extraction.key(tiny().recipe("none", 0, 0))
    monkeypatch.setattr(module, name, value)
    assert extraction.key(tiny().recipe("none", 0, 0)) != before


@pytest.mark.parametrize(
    ("name", "matters"),
    [("TF_ENABLE_ONEDNN_OPTS", True), ("ONEDNN_DEFAULT_FPMATH_MODE", True),
     ("DNNL_MAX_CPU_ISA", True), ("ONEDNN_VERBOSE", False), ("HOME", False)],
)  # fmt: skip
def test_key_covers_onednns_environment(monkeypatch, name, matters):
    before = extraction.key(tiny().recipe("none", 0, 0))
    monkeypatch.setenv(name, "BF16")
    assert (extraction.key(tiny().recipe("none", 0, 0)) != before) is matters


def test_key_ignores_how_the_work_is_cut():
    keys = {extraction.key(tiny(batch_size=size).recipe("none", 0, 0)) for size in (1, 64)}
    assert len(keys) == 1


def test_equal_pictures_share_a_key():
    key = {
        view: extraction.key(tiny().recipe(*view))
        for view in [
            ("none", 0, 0), ("flip", 0, 3), ("light", 0, 3), ("strong", 0, 4),
            ("flip", 1, 3), ("flip", 1, 4),
            ("light", 1, 3), ("light", 2, 3), ("light", 1, 4), ("strong", 1, 3),
        ]
    }  # fmt: skip
    assert len(set(list(key.values())[:4])) == 1
    assert key["flip", 1, 3] == key["flip", 1, 4]
    assert len(set(key.values())) == 1 + 1 + 4


def test_the_clean_view_is_shared(tmp_path, photos):
    extractor = tiny()
    computed = []
    for policy, views in [("none", 1), ("flip", 2), ("light", 3), ("flip", 2), ("light", 4)]:
        before = extractor.computed
        held = ensure(tmp_path, extractor, photos, policy=policy, views=views, seed=5)
        assert len(held.views) == views
        computed.append(extractor.computed - before)
    assert computed == [12, 12, 24, 0, 12]
    assert len({values(held, view).tobytes() for view in range(4)}) == 4


# === Trouble ===


def test_overflow_names_the_photo_and_the_way_out(tmp_path, photos):
    with pytest.raises(ConfigError, match="features.dtype=float32") as caught:
        ensure(tmp_path, tiny(gain=1e6), photos[5:])
    assert str(caught.value).startswith("features.dtype=float16")
    assert photos[5].path in str(caught.value)
    held = ensure(tmp_path, tiny(gain=1e6, dtype="float32"), photos)
    assert np.isfinite(values(held)).all()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_features_that_are_no_numbers_are_the_weights_fault(tmp_path, photos, dtype):
    with pytest.raises(ConfigError, match="^backbone.weights") as caught:
        ensure(tmp_path, tiny(gain=np.inf, dtype=dtype), photos[5:])
    assert photos[5].path in str(caught.value)


@pytest.mark.parametrize(
    ("file", "damage", "lost"),
    [
        ("rows.bin", lambda data: data[:23] + bytes([data[23] ^ 1]) + data[24:], 1),
        ("rows.bin", lambda data: data[:-1], 1),
        ("rows.bin", lambda data: b"", 12),
        ("index.bin", lambda data: data[:-1], 1),
        ("index.bin", lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:], 1),
        ("index.bin", lambda data: data[:34] + bytes([data[34] ^ 1]) + data[35:], 1),
        ("index.bin", lambda data: b"", 12),
    ],
)
def test_damage_is_found_and_mended(tmp_path, photos, file, damage, lost):
    extractor = tiny()
    store, _ = ensure(tmp_path, extractor, photos).views[0]
    first = store.read(store.find([photo.sha256 for photo in photos]))
    path = store.folder / file
    path.write_bytes(damage(path.read_bytes()))
    mended = ensure(tmp_path, extractor, photos)
    assert extractor.computed == 12 + lost
    np.testing.assert_array_equal(values(mended), first)
    ensure(tmp_path, extractor, photos)
    assert extractor.computed == 12 + lost


def test_a_full_disk_is_foreseen(tmp_path, photos):
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.RepeatVector(10**12)(keras.layers.GlobalAveragePooling2D()(inputs))
    extractor = replace(tiny(), prefix=keras.Model(inputs, x))
    with pytest.raises(ConfigError, match=r"^features\.dir=.*72\.0 TB .* left there"):
        ensure(tmp_path, extractor, photos)


@pytest.mark.parametrize("change", ["gone", "garbage"])
def test_a_photo_that_changed_is_named(tmp_path, photos, change):
    path = Path(photos[7].source)
    path.unlink() if change == "gone" else path.write_bytes(b"GIF89a?")
    extractor = tiny()
    with pytest.raises(DataError, match=r"^.*-7\.png: ") as caught:
        ensure(tmp_path, extractor, photos)
    assert caught.value.path == photos[7].source
    ensure(tmp_path, extractor, photos[:4])
    assert extractor.computed == 4


# === Other processes ===

CHILD = """
import sys
sys.path[:0] = [{tests!r}]
from helpers.features import many, slow, ensure
from pathlib import Path
root = Path(sys.argv[1])
extractor = slow()
photos = many(root)
print("ready", flush=True)
sys.stdin.readline()
ensure(root, extractor, photos)
print(extractor.computed, flush=True)
"""


@pytest.fixture
def child(tmp_path):
    """A real process that waits for a line before it extracts ``many`` photos."""
    code = CHILD.format(tests=str(Path(__file__).parents[1]))
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
    ) as process:  # fmt: skip
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def undisturbed(root):
    alone = root / "alone"
    alone.mkdir()
    return values(ensure(alone, tiny(batch_size=3, dtype="float32"), many(alone)))


@pytest.mark.slow
def test_after_kill_9_the_rest_is_computed(tmp_path, child):
    child.stdin.write("go\n")
    child.stdin.flush()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        index = next(tmp_path.glob("features/*/index.bin"), None)
        if index and index.stat().st_size >= 36 * 9:
            break
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    there = index.stat().st_size // 36
    assert 9 <= there < COUNT
    extractor = slow()
    held = ensure(tmp_path, extractor, many(tmp_path))
    assert extractor.computed == COUNT - there
    assert len(list(tmp_path.glob("features/*"))) == 1
    np.testing.assert_array_equal(values(held), undisturbed(tmp_path))


@pytest.mark.slow
def test_two_processes_do_the_work_once(tmp_path, child):
    notes = []

    class Notes(Progress):
        def note(self, message):
            notes.append(message)

    extractor, photos = slow(), many(tmp_path)
    child.stdin.write("go\n")
    child.stdin.flush()
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("features/*/index.bin")) and time.monotonic() < deadline:
        time.sleep(0.01)
    held = extraction.ensure(tmp_path, extractor, photos, progress=Notes())
    others = int(child.stdout.readline())
    assert extractor.computed + others == COUNT
    assert len(notes) == 1
    assert len(list(tmp_path.glob("features/*"))) == 1
    np.testing.assert_array_equal(values(held), undisturbed(tmp_path))


def test_rows_in_use_are_not_removed(tmp_path):
    held = ensure(tmp_path, tiny(), many(tmp_path))
    (item,) = [one for one in cache_contents.items(tmp_path) if one.kind == "features"]
    assert (
        f"{COUNT} photos" in item.about and "tiny 16 px squash, clean, avg, float16" in item.about
    )
    with pytest.raises(use_locks.InUse):
        cache_removal.remove(tmp_path, item)
    assert len(values(held)) == COUNT
