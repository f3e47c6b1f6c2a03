"""Augmentation: a view depends only on the photo's seed and the view number."""

import numpy as np
import pytest
import tensorflow as tf

from catdog.features import augment

pytestmark = pytest.mark.tensorflow

POLICIES = ["flip", "light", "strong"]


def ramp(height=40, width=48):
    rng = np.random.default_rng(height)
    rows, columns = np.mgrid[:height, :width]
    values = np.stack([rows * 5, columns * 5, rows + columns], 2) + rng.integers(0, 9, (1, 1, 3))
    return values.astype(np.uint8)


def view(photo, policy, number, seed=7):
    made = augment.apply(tf.constant(photo), policy, tf.constant(number), tf.constant(seed))
    return made.numpy()


@pytest.mark.parametrize("policy", POLICIES)
def test_view_0_is_the_photo(policy):
    for seed in range(5):
        np.testing.assert_array_equal(view(ramp(), policy, 0, seed), ramp())


def test_flip_has_two_views():
    np.testing.assert_array_equal(view(ramp(), "flip", 1), ramp()[:, ::-1])
    np.testing.assert_array_equal(view(ramp(), "flip", 2), ramp())


@pytest.mark.parametrize("policy", ["light", "strong"])
def test_views_and_seeds_give_different_pictures(policy):
    pictures = [view(ramp(), policy, n, seed) for n in range(1, 7) for seed in (0, 1, 2**31 - 1)]
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)


@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_view_in_any_order_on_any_threads(policy, threads):
    wanted = [(number, seed) for number in range(5) for seed in (3, 4)]
    alone = {pair: view(ramp(), policy, *pair) for pair in wanted}
    shuffled = np.random.default_rng(threads).permutation(np.array(wanted, np.int32))
    together = tf.data.Dataset.from_tensor_slices(shuffled).map(
        lambda pair: augment.apply(tf.constant(ramp()), policy, pair[0], pair[1]),
        num_parallel_calls=threads,
    )
    for pair, picture in zip(shuffled, together, strict=True):
        np.testing.assert_array_equal(picture, alone[tuple(pair)])


@pytest.mark.parametrize(("policy", "brightness"), [("light", 0.1), ("strong", 0.25)])
def test_colours_saturate_and_never_wrap(policy, brightness):
    white, black = (np.full((32, 32, 3), value, np.uint8) for value in (255, 0))
    for number in range(1, 13):
        bright, dark = view(white, policy, number), view(black, policy, number)
        assert bright.dtype == dark.dtype == np.uint8
        erased = bright == 128
        assert bright[~erased].min() >= 255 * (1 - brightness) - 1
        assert dark[dark != 128].max(initial=0) <= 255 * brightness + 1


@pytest.mark.parametrize(("policy", "least"), [("light", 0.8), ("strong", 0.4)])
def test_crops_keep_most_of_the_photo(policy, least):
    shapes = [view(ramp(80, 100), policy, number).shape for number in range(1, 21)]
    areas = [height * width / 8000 for height, width, _ in shapes]
    assert least - 0.03 <= min(areas) <= 1 - (1 - least) / 2
    assert max(areas) <= 1
    assert len(set(shapes)) > 10


def test_half_of_the_views_are_mirrored():
    mirrored = [
        picture[:, :5, 1].mean() > picture[:, -5:, 1].mean()
        for picture in (view(ramp(), "light", number) for number in range(1, 41))
    ]
    assert 10 <= sum(mirrored) <= 30


@pytest.mark.parametrize("policy", ["light", "strong"])
def test_only_strong_erases(policy):
    red = np.full((64, 64, 3), (200, 40, 40), np.uint8)
    shares = []
    for number in range(1, 21):
        picture = view(red, policy, number)
        colours = np.unique(picture.reshape(-1, 3), axis=0)
        grey = (picture == 128).all(2)
        assert len(colours) == 1 + grey.any()
        shares.append(grey.mean())
    if policy == "light":
        assert max(shares) == 0
    else:
        assert sum(share > 0.01 for share in shares) >= 10
        assert max(shares) <= 0.27


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (2, 3)])
def test_tiny_photos_survive(size):
    for number in range(1, 4):
        assert view(ramp(*size), "strong", number).size > 0
