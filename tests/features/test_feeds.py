"""Feeds: an epoch has each photo once, wherever its features come from."""

from itertools import pairwise

import numpy as np
import pytest
from helpers.features import ensure, part, stored, tiny, values
from helpers.networks import build, enliven
from hypothesis import given, settings
from hypothesis import strategies as st

from catdog.features import feeds
from catdog.features.batches import preprocessing
from catdog.features.extractor import Extractor
from catdog.features.feeds import Live, Resident, Streamed
from catdog.models import backbone, head
from catdog.training import fit, optimizers
from catdog.training.steps import Steps, predict

pytestmark = pytest.mark.tensorflow


def names(n, views):
    """Return rows that say which photo and view they are: (views, n, 2)."""
    photo, view = np.meshgrid(np.arange(n), np.arange(views))
    return np.stack([photo, view], 2).astype(np.float32)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return stored(tmp_path_factory.mktemp("store"), names(60, 3), np.arange(60) * 7 % 5)


def trained_on(source, rng, batch_size):
    """Return the (photo, view) rows of an epoch, the labels, and the chunks' lengths."""
    chunks = list(source.epoch(rng, batch_size))
    rows = [chunk.features.numpy()[chunk.order] for chunk in chunks]
    labels = [chunk.labels.numpy()[chunk.order] for chunk in chunks]
    return np.concatenate(rows), np.concatenate(labels), [len(row) for row in rows]


sizes = {
    "n": st.integers(1, 60),
    "views": st.integers(1, 3),
    "batch_size": st.integers(1, 17),
    "ram": st.one_of(st.just(None), st.integers(1, 2000)),
    "seed": st.integers(0, 99),
}


@settings(max_examples=120, deadline=None)
@given(**sizes)
def test_an_epoch_has_each_photo_once(store, n, views, batch_size, ram, seed):
    some = part(store, n, views)
    source = Streamed(some, ram) if ram else Resident(some)
    rows, labels, lengths = trained_on(source, np.random.default_rng(seed), batch_size)
    order = rows[:, 0].astype(int)
    assert sorted(order) == list(range(n))
    np.testing.assert_array_equal(labels, order * 7 % 5)
    assert rows[:, 1].max() < views
    assert all(length % batch_size == 0 for length in lengths[:-1])
    if ram:  # two chunks fit in it, or are one batch each
        assert max(lengths) <= max(batch_size, ram // 2 // 8)
    assert (source.photos, source.views, source.shape) == (n, views, (2,))


@settings(max_examples=60, deadline=None)
@given(**sizes)
def test_ordered_keeps_the_order(store, n, views, batch_size, ram, seed):
    some = part(store, n, views)
    source = Streamed(some, ram) if ram else Resident(some)
    pieces = list(source.ordered())
    rows = np.concatenate([piece for piece, _ in pieces], 1)
    np.testing.assert_array_equal(rows, names(n, views))
    np.testing.assert_array_equal(np.concatenate([label for _, label in pieces]), some.labels)
    if ram:
        assert max(piece.shape[1] for piece, _ in pieces) <= max(1, ram // 2 // 8 // views)


@pytest.mark.parametrize("ram", [None, 300, 10**6])
def test_epochs_are_shuffled_and_views_drawn(store, ram):
    source = Streamed(store, ram) if ram else Resident(store)
    rng = np.random.default_rng(0)
    epochs = [trained_on(source, rng, 8)[0] for _ in range(12)]
    for first, second in pairwise(epochs):
        assert (first[:, 0] != second[:, 0]).mean() > 0.7
        assert abs(np.corrcoef(first[:, 0], np.arange(60))[0, 1]) < 0.6
    seen = {tuple(row) for epoch in epochs for row in epoch.astype(int)}
    assert len(seen) > 0.95 * 180
    same = [trained_on(source, np.random.default_rng(4), 8)[0] for _ in range(2)]
    np.testing.assert_array_equal(*same)


def test_streaming_mixes_far_apart_photos(tmp_path):
    """A batch must not be a run of neighbours, which may be of one class or camera."""
    n = 4096
    source = Streamed(stored(tmp_path, names(n, 1), np.zeros(n)), n * 8)
    rows, _, lengths = trained_on(source, np.random.default_rng(0), 64)
    assert 64 < max(lengths) <= n / 2
    spreads = [np.ptp(batch[:, 0]) for batch in np.split(rows, n // 64)]
    assert min(spreads) > n / 4


# === Live ===


@pytest.mark.parametrize("batch_size", [1, 5, 12, 50])
def test_live_trains_on_each_photo_once(photos, batch_size):
    extractor = tiny()
    source = Live(extractor, photos)
    expected = {row.tobytes(): photo for row, photo in _rows(extractor, photos)}
    rows, labels, lengths = trained_on(source, np.random.default_rng(0), batch_size)
    assert sorted(expected) == sorted(row.tobytes() for row in rows)
    assert [expected[row.tobytes()].label for row in rows] == list(labels)
    assert all(length == batch_size for length in lengths[:-1])
    assert (source.photos, source.views, source.shape) == (12, 1, (5,))


def _rows(extractor, some, **options):
    batches = extractor.batches(some, **options)
    rows = np.concatenate([batch.numpy() for batch in batches]).astype(extractor.dtype)
    return zip(rows, some, strict=True)


def test_live_draws_a_view_per_photo_and_epoch(photos):
    extractor = tiny()
    clean, mirrored = (
        {row.tobytes() for row, _ in _rows(extractor, photos, policy="flip", views=view)}
        for view in (0, 1)
    )
    rng = np.random.default_rng(0)
    source = Live(extractor, photos, policy="flip")
    epochs = [trained_on(source, rng, 12)[0] for _ in range(3)]
    shares = [np.mean([row.tobytes() in mirrored for row in epoch]) for epoch in epochs]
    assert all(0 < share < 1 for share in shares)
    assert {row.tobytes() for epoch in epochs for row in epoch} <= clean | mirrored
    source = Live(extractor, photos, policy="strong", seed=3)
    fresh = {row.tobytes() for _ in range(3) for row in trained_on(source, rng, 12)[0]}
    assert len(fresh) == 36


@pytest.mark.parametrize("views", [1, 2])
def test_live_orders_like_the_store(tmp_path, photos, views):
    extractor = tiny()
    held = ensure(tmp_path, extractor, photos, policy="flip", views=views)
    live = list(Live(extractor, photos, policy="flip", views=views).ordered())
    (features, labels), = Resident(held).ordered()  # fmt: skip
    np.testing.assert_array_equal(np.concatenate([part for part, _ in live], 1), features)
    np.testing.assert_array_equal(np.concatenate([part for _, part in live]), labels)


# === Stored and streamed features give the same predictions ===


@pytest.fixture(scope="module")
def built():
    return enliven(build(image_size=32))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 1e-4), ("float32", 1e-5)])
def test_cache_and_stream_are_alike(tmp_path, photos, built, dtype, tolerance):
    extractor = Extractor(
        backbone.prefix(built, pooling="avg"),
        preprocessing(32, "squash", built.scaling),
        {"weights": built.weights_hash},
        dtype,
        batch_size=5,
    )
    held = ensure(tmp_path, extractor, photos)
    assert values(held).std() > 0.1
    live, resident = Live(extractor, photos), Resident(held)
    streamed = Streamed(held, 3 * values(held)[0].nbytes)
    trained = {source: _trained(source) for source in (live, resident)}
    expected = predict(trained[live], live)
    assert np.ptp(expected[:, 0]) > 0.05
    for source in (live, resident, streamed):
        found = predict(trained[resident], source)
        np.testing.assert_allclose(found, expected, atol=tolerance)


def _trained(source):
    """Train on batches of all photos, so that the feeds' different orders do not matter."""
    net = head.build((1280,), 2, units=[8], dropout=0.3, seed=2)
    steps = Steps(net, optimizers.build("adam", 1e-2), batch_size=12)
    fit.fit(steps, source, source, epochs=3, rng=np.random.default_rng(1), patience=None)
    return net


def test_draw_has_no_favourite_view():
    _, views = feeds._draw(np.random.default_rng(0), 3000, 3)
    np.testing.assert_allclose(np.bincount(views), 1000, atol=100)
