"""What TensorFlow finally decodes is what Pillow shows, in every format, mode and orientation."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from catdog.data import formats

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:::PIL"),  # what is odd about the cases
]

WIDTH, HEIGHT = 37, 23
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
NOISE[:, :20] = np.arange(20)[:, None] * [6, 9, 12, 3]  # half a gradient: JPEG likes some peace
DEEP = (np.arange(HEIGHT * WIDTH) * 77 % 65536).astype(np.uint16).reshape(HEIGHT, WIDTH)


def photo(mode: str) -> Image.Image:
    """The same noise in any mode; CMYK and alpha channels are noise of their own."""
    if mode.startswith("I"):
        return Image.fromarray(DEEP)
    if mode in ("RGBA", "CMYK"):
        return Image.frombytes(mode, (WIDTH, HEIGHT), NOISE.tobytes())
    return photo("RGBA").convert(mode)


def saved(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    with io.BytesIO() as held:
        photo(mode).save(held, kind, **options)
        return held.getvalue()


def png(
    depth: int, colour: int, rows: np.ndarray, size: tuple[int, int] = (WIDTH, HEIGHT)
) -> bytes:
    """A PNG as Pillow cannot write it: 16 bits a channel, or 2 or 4 bits of grey."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*named) for named in chunks)


def deep(channels: int) -> np.ndarray:
    return RNG.integers(0, 65536, (HEIGHT, WIDTH, channels)).astype(">u2")


def small_first_frame() -> bytes:
    """A GIF whose canvas is larger than its only frame."""
    gif = bytearray(saved("GIF"))
    gif[6:10] = struct.pack("<HH", WIDTH + 13, HEIGHT + 9)
    return bytes(gif)


def png_of_four_colours() -> bytes:
    with io.BytesIO() as held:
        photo("RGB").quantize(4).save(held, "PNG", bits=2)
        return held.getvalue()


def animated(kind: str, **options: Any) -> bytes:
    return saved(kind, save_all=True, append_images=[ImageOps.mirror(photo("RGB"))], **options)


GREY_2_BITS = RNG.integers(0, 256, (HEIGHT, (WIDTH * 2 + 7) // 8), np.uint8)
CASES = {
    **{f"jpeg {mode}": saved("JPEG", mode) for mode in ("RGB", "L", "CMYK")},
    **{f"jpeg 4:{s}": saved("JPEG", subsampling=s, quality=70) for s in (0, 1, 2)},
    "jpeg progressive": saved("JPEG", progressive=True),
    "jpeg progressive L": saved("JPEG", "L", progressive=True),
    "jpeg without its end": saved("JPEG", "L")[:-2],
    "jpeg with a tail": saved("JPEG") + b"trailing bytes of a camera",
    "jpeg padded": saved("JPEG") + bytes(100),
    "mpo": animated("MPO"),
    **{f"png {mode}": saved("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")},
    "png 16-bit L": saved("PNG", "I;16"),
    "png 16-bit LA": png(16, 4, deep(2)),
    "png 16-bit RGB": png(16, 2, deep(3)),
    "png 16-bit RGBA": png(16, 6, deep(4)),
    "png 2-bit L": png(2, 0, GREY_2_BITS),
    "png 2-bit P": png_of_four_colours(),
    "png L transparent": saved("PNG", "L", transparency=5),
    "png RGB transparent": saved("PNG", transparency=(0, 0, 0)),
    "png P transparent": saved("PNG", "P", transparency=3),
    "png P alphas": saved("PNG", "P", transparency=bytes(range(256))),
    "png animated": animated("PNG"),
    "png without its end": saved("PNG")[:-12],
    "png with a tail": saved("PNG") + b"tail",
    **{f"bmp {mode}": saved("BMP", mode) for mode in ("1", "L", "P", "RGB", "RGBA")},
    "bmp with a tail": saved("BMP") + b"tail",
    **{
        f"tiff {mode}": saved("TIFF", mode)
        for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16")
    },
    "tiff lzw": saved("TIFF", compression="tiff_lzw"),
    **{f"webp {mode}": saved("WEBP", mode) for mode in ("RGB", "RGBA")},
    **{f"webp lossless {mode}": saved("WEBP", mode, lossless=True) for mode in ("RGB", "RGBA")},
    "webp animated": animated("WEBP"),
    **{f"gif {mode}": saved("GIF", mode) for mode in ("L", "P", "RGB")},
    "gif transparent": saved("GIF", "P", transparency=3),
    "gif animated": animated("GIF"),
    "gif small first frame": small_first_frame(),
    "gif without its end": saved("GIF")[:-1],
    "ppm": saved("PPM"),
}
DEEP_GREY = ("png 16-bit L", "tiff I;16")  # Pillow's own convert clips these
CONVERTED = ("CMYK", "16-bit", "bmp", "tiff", "gif", "webp RGBA", "lossless RGBA", "webp animated",
             "without its end", "jpeg with a tail", "mpo", "ppm")  # fmt: skip


def final(data: bytes) -> np.ndarray:
    """What training sees of a file."""
    from catdog.features import decode

    facts = formats.inspect(data)
    return decode.orient(decode.decode(facts.png or data), facts.orientation).numpy()


def shown(data: bytes) -> np.ndarray:
    """What a person sees of it."""
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))


@pytest.mark.parametrize("name", [name for name in CASES if name not in DEEP_GREY])
def test_tensorflow_decodes_what_pillow_shows(name: str) -> None:
    np.testing.assert_array_equal(final(CASES[name]), shown(CASES[name]))


@pytest.mark.parametrize("name", DEEP_GREY)
def test_16_bits_of_grey_are_scaled_and_not_clipped(name: str) -> None:
    seen, scaled = final(CASES[name]), (DEEP / 257)[..., None]
    assert ((seen == np.floor(scaled)) | (seen == np.round(scaled))).all()


@pytest.mark.parametrize("name", CASES)
def test_only_what_tensorflow_reads_otherwise_is_converted(name: str) -> None:
    facts = formats.inspect(CASES[name])
    assert (facts.png is not None) == any(part in name for part in CONVERTED)
    assert facts.orientation == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_exif_orientation_is_applied_as_pillow_does(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(kind, exif=exif)
    np.testing.assert_array_equal(final(data), shown(data))
    upright = (HEIGHT, WIDTH, 3)
    assert final(data).shape == (upright if orientation < 5 else (WIDTH, HEIGHT, 3))


@pytest.mark.parametrize("orientation", [0, 9, 77, 65535])
def test_an_orientation_that_does_not_exist_is_none(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert formats.inspect(saved("JPEG", exif=exif)).orientation == 1


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"", "empty file"),
        (b"just text", "not an image"),
        (saved("JPEG")[:-200], "damaged: image file is truncated"),
        (saved("PNG")[:200], "damaged: image file is truncated"),
        (saved("GIF")[:900], "damaged"),
        (saved("DDS")[:80] + b"\0\0\0\x40" + saved("DDS")[84:], "damaged"),
        (saved("JPEG")[:2], "not an image"),
        (png(8, 2, NOISE[..., :3], (99999, 99999)), "a decompression bomb"),
        (png(1, 0, NOISE[:, :5, 0], (10_001, 10_000)), "a decompression bomb"),
        (png(1, 0, NOISE[:, :1, 0], (1, 70_000)), "a decompression bomb"),
    ],
    ids=["empty", "text", "half a JPEG", "half a PNG", "half a GIF", "an odd DDS", "a stub",
         "a bomb", "a small bomb", "a tall bomb"],
)  # fmt: skip
def test_what_is_no_photo_is_refused_in_a_few_words(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        formats.inspect(data)


def damage(data: bytes, kind: str, where: float, what: bytes) -> bytes:
    at = int(where * len(data))
    if kind == "cut":
        return data[:at]
    return data[:at] + what + data[at + (len(what) if kind == "overwrite" else 0) :]


HARM = st.sampled_from(["cut", "overwrite", "insert"])
PLACE = st.floats(0, 1) | st.floats(0.95, 1)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(CASES)), HARM, PLACE, st.binary(min_size=1, max_size=3))
def test_a_damaged_file_is_a_photo_or_a_reason(
    name: str, kind: str, where: float, what: bytes
) -> None:
    try:
        facts = formats.inspect(damage(CASES[name], kind, where, what))
    except ValueError as problem:
        assert str(problem)
    else:
        assert facts.orientation in range(1, 9)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(name for name in CASES if name.startswith(("png", "webp")))),
    HARM, PLACE, st.binary(min_size=1, max_size=3),
)  # fmt: skip
def test_a_damaged_file_that_passes_can_be_trained_on(
    name: str, kind: str, where: float, what: bytes
) -> None:
    data = damage(CASES[name], kind, where, what)
    try:
        formats.inspect(data)
    except ValueError:
        return
    assert final(data).shape == shown(data).shape


@pytest.mark.parametrize("name", ["jpeg RGB", "jpeg progressive", "png RGB", "gif P", "webp RGB"])
def test_a_file_cut_anywhere_near_its_end_is_refused_or_decodes_as_pillow_shows(name: str) -> None:
    for missing in range(1, 40):
        data = CASES[name][:-missing]
        try:
            formats.inspect(data)
        except ValueError:
            continue
        np.testing.assert_array_equal(final(data), shown(data))


@pytest.mark.photos
def test_real_photos_decode_as_pillow_shows_them(real_photos: Path) -> None:
    outer = zipfile.ZipFile(real_photos / "dogs-vs-cats-2k-native.zip")
    with outer, outer.open("train.zip") as held, zipfile.ZipFile(held) as inner:
        names = sorted(name for name in inner.namelist() if name.endswith(".jpg"))
        some = [inner.read(name) for name in names[:: len(names) // 40]]
    assert len(some) >= 40
    for data in some:
        assert formats.inspect(data).png is None
        np.testing.assert_array_equal(final(data), shown(data))


def test_the_default_decoder_would_differ() -> None:
    import tensorflow as tf

    careless = tf.io.decode_jpeg(CASES["jpeg 4:2"], channels=3).numpy()
    assert (careless != shown(CASES["jpeg 4:2"])).any()
