"""Whatever happens to the cache: it is refused, mended or harmless, and never trained on.

Two archives of photos are unpacked, checked and extracted by two extractors whose rows have the
same shape. Then something in the cache is damaged, and all is asked for again. The features must
be those of an undamaged cache to the last bit, or the answer one message.

``DAMAGE_REPEATS=100`` damages a hundred times at random, ``DAMAGE_SEED`` draws others.
"""

import json
import os
import random
import shutil
import zipfile

import numpy as np
import pytest
from helpers.features import ensure, tiny, values
from PIL import Image

from catdog.data import scan
from catdog.data.folders import find_in_folders
from catdog.data.manifest import Photo
from catdog.data.packed import archive
from catdog.errors import CatdogError
from catdog.features.store import RECORD
from catdog.progress import Progress

pytestmark = pytest.mark.tensorflow

REPEATS = int(os.environ.get("DAMAGE_REPEATS", "4"))
SEED = int(os.environ.get("DAMAGE_SEED", "0"))
PER_ARCHIVE = 12


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Two archives; some photos are in a format that TensorFlow cannot read."""
    place, chance = tmp_path_factory.mktemp("archives"), np.random.default_rng(1)
    for name in ("a", "b"):
        with zipfile.ZipFile(place / f"{name}.zip", "w") as made:
            for i in range(PER_ARCHIVE):
                ending = "tif" if i % 4 == 0 else "png"
                pixels = chance.integers(0, 256, (20, 18, 3), np.uint8)
                Image.fromarray(pixels).save(place / f"x.{ending}")
                made.write(place / f"x.{ending}", f"{('cat', 'dog')[i % 2]}/{i:02}.{ending}")
    return [place / "a.zip", place / "b.zip"]


@pytest.fixture(scope="module")
def extractors():
    pair = tiny(), tiny(resize="other")
    pair[1].layers[1].pad_to_aspect_ratio = True
    return pair


def features(archives, extractors, cache):
    """Do what a run does, and return what it would train on: (sha256, row) of each photo."""
    found = []
    for path in archives:
        folder = archive.unpack(path, cache, Progress())
        names = [one.path for one in find_in_folders(folder)]
        verdicts = scan.check_all(names, cache, Progress(), threads=2)
        photos = [
            Photo(os.path.relpath(name, cache), source(name, verdict, cache), 0, "train",
                  verdict.size, verdict.sha256, verdict.orientation, verdict.converted)
            for name, verdict in zip(names, verdicts, strict=True) if not verdict.problem
        ]  # fmt: skip
        for extractor in extractors:
            rows = values(ensure(cache, extractor, photos))
            pairs = zip(photos, rows, strict=True)
            found += [(photo.path, photo.sha256, row.tobytes()) for photo, row in pairs]
    return found


def source(name, verdict, cache):
    return str(scan.converted_path(verdict.sha256, cache)) if verdict.converted else name


@pytest.fixture(scope="module")
def whole(archives, extractors, tmp_path_factory):
    """An undamaged cache and the features that come from it."""
    cache = tmp_path_factory.mktemp("whole") / "cache"
    return cache, features(archives, extractors, cache)


def files(cache, pattern="*"):
    return sorted(p for p in cache.rglob(pattern) if p.is_file() and p.stat().st_size)


# === random damages ===


def flip(chance, cache):
    file = chance.choice(files(cache))
    times, held = file.stat(), bytearray(file.read_bytes())
    for _ in range(chance.choice([1, 1, 8])):
        held[chance.randrange(len(held))] ^= 1 << chance.randrange(8)
    file.write_bytes(held)
    if chance.random() < 0.5 and "photos" in file.parts:
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    return f"flip {file}"


def cut(chance, cache):
    file = chance.choice(files(cache))
    os.truncate(file, chance.randrange(file.stat().st_size))
    return f"cut {file}"


def zero(chance, cache):
    file = chance.choice(files(cache))
    size = file.stat().st_size
    start = chance.randrange(size)
    with file.open("r+b") as opened:
        opened.seek(start)
        opened.write(bytes(min(4096, size - start)))
    return f"zero {file}"


def delete(chance, cache):
    some = [p for p in cache.rglob("*") if p.suffix != ".lock" and p.parent != cache]
    path = chance.choice(sorted(some))
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return f"delete {path}"


def exchange(chance, cache):
    one = chance.choice(files(cache))
    others = [p for p in files(cache, f"*{one.suffix}") if p != one] or files(cache)
    other = chance.choice(others)
    swap(one, other)
    return f"exchange {one} {other}"


def swap_stores(chance, cache):
    one, other = chance.sample(sorted((cache / "features").iterdir()), 2)
    swap(one, other)
    return "swap stores"


def link(chance, cache):
    some = [p for p in cache.rglob("*") if p.parent != cache]
    path = chance.choice(sorted(some))
    aside = cache.parent / "aside" / path.name
    aside.parent.mkdir()
    path.rename(aside)
    path.symlink_to(chance.choice([aside, aside, cache.parent / "nothing"]))
    return f"link {path}"


def swap(one, other):
    aside = one.parent / "x"
    one.rename(aside)
    if other.exists():
        other.rename(one)
    aside.rename(other)


RANDOM = (flip, cut, zero, delete, exchange, swap_stores, link)

# === aimed ones ===


def stores(cache):
    return sorted((cache / "features").iterdir())


def folders(cache):
    return sorted(p for p in (cache / "photos").iterdir() if p.is_dir())


def records(cache, change):
    path = stores(cache)[0] / "index.bin"
    held = np.frombuffer(bytearray(path.read_bytes()), RECORD)
    change(held)
    path.write_bytes(held.tobytes())


def rotate(field):
    def change(held):
        held[field][:4] = np.roll(held[field][:4], 1, axis=0)

    return lambda cache: records(cache, change)


def rotate_rows(cache):
    path = stores(cache)[0] / "rows.bin"
    rows = np.frombuffer(path.read_bytes(), np.uint8).reshape(2 * PER_ARCHIVE, -1)
    path.write_bytes(np.roll(rows, 1, axis=0).tobytes())


def of_other_store(*names):
    def copy(cache):
        one, other = stores(cache)
        for name in names:
            shutil.copy(other / name, one / name)

    return copy


def swap_parts(*names):
    def change(cache):
        one, other = stores(cache)
        for name in names:
            swap(one / name, other / name)

    return change


def verdicts(change):
    def harm(cache):
        path = files(cache / "index")[0]
        held = json.loads(path.read_text())
        change(held)
        path.write_text(json.dumps(held))

    return harm


def rotate_hashes(held):
    names = sorted(held)
    hashes = [held[name][1] for name in names]
    for name, sha256 in zip(names, hashes[1:] + hashes[:1], strict=True):
        held[name][1] = sha256


def condemn_one(held):
    held[min(held)][5] = "not an image"


def turn_all(held):
    for entry in held.values():
        entry[3] = 6


def thin_out(cache):
    for file in files(folders(cache)[0], "*.png")[:5]:
        file.unlink()


def swap_within(cache):
    one, other = files(folders(cache)[0] / "cat", "*.png")[:2]
    times = one.stat()
    swap(one, other)
    for file in (one, other):
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def relabel(cache):
    file = files(folders(cache)[0] / "cat", "*.png")[0]
    file.rename(folders(cache)[0] / "dog" / file.name)


def add_photo(cache):
    file = files(folders(cache)[0] / "cat", "*.png")[0]
    shutil.copy(file, file.with_name("77.png"))


def swap_copies(cache):
    one, other = files(cache / "converted")[:2]
    swap(one, other)


def grow(cache):
    path = stores(cache)[0] / "rows.bin"
    path.write_bytes(b"\0" * 10 + path.read_bytes())


AIMED = {
    "keys exchanged": rotate("sha256"),
    "checksums exchanged": rotate("crc"),
    "rows moved by one": rotate_rows,
    "rows shifted by ten bytes": grow,
    "another store's rows": of_other_store("rows.bin"),
    "another store's rows and index": of_other_store("rows.bin", "index.bin"),
    "another store's recipe": of_other_store("recipe.json"),
    "all of another store": of_other_store("rows.bin", "index.bin", "recipe.json"),
    "stores swapped": lambda cache: swap(*stores(cache)),
    "rows and index swapped": swap_parts("rows.bin", "index.bin"),
    "index swapped": swap_parts("index.bin"),
    "hashes of verdicts exchanged": verdicts(rotate_hashes),
    "a photo condemned": verdicts(condemn_one),
    "photos turned": verdicts(turn_all),
    "five photos deleted": thin_out,
    "photos exchanged, with their times": swap_within,
    "a photo in another class": relabel,
    "a photo added": add_photo,
    "copies of photos exchanged": swap_copies,
    "archives' folders swapped": lambda cache: swap(*folders(cache)),
    "verdicts swapped": lambda cache: swap(*files(cache / "index")),
}


# === the campaign ===


def outcome(archives, extractors, whole, tmp_path, harm):
    cache, expected = tmp_path / "cache", whole[1]
    shutil.copytree(whole[0], cache, symlinks=True)  # keeps the times of modification
    shutil.rmtree(cache / "index")  # of other paths
    assert features(archives, extractors, cache) == expected, "the copy is as the original"
    what = harm(cache)
    computed = sum(extractor.computed for extractor in extractors)
    try:
        assert features(archives, extractors, cache) == expected, what
    except CatdogError as error:
        assert str(tmp_path) in str(error), f"{what}: the message names no file"
        return "refused"
    more = sum(extractor.computed for extractor in extractors) > computed
    return "computed again" if more else "mended or harmless"


@pytest.mark.parametrize("number", range(REPEATS))
def test_random_damage_is_never_trained_on(archives, extractors, whole, tmp_path, number):
    chance = random.Random(f"{SEED} {number}")
    harm = RANDOM[number % len(RANDOM)]
    print(outcome(archives, extractors, whole, tmp_path, lambda cache: harm(chance, cache)))


@pytest.mark.parametrize("name", AIMED)
def test_aimed_damage_is_never_trained_on(archives, extractors, whole, tmp_path, name):
    print(outcome(archives, extractors, whole, tmp_path, AIMED[name]))
